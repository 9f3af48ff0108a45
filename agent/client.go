package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/rollcall-id/rollcall/client"
	"github.com/rollcall-id/rollcall/config"
	"github.com/rollcall-id/rollcall/httpapi"
)

// startClient starts the node. Its own server, if the agent has one, is among those it talks to, over the port
// like any other.
func (a *agent) startClient(ctx context.Context, httpBound net.Addr) error {
	c := a.config
	servers := slices.Concat(c.Client.Servers, c.Client.ServerJoin.StartJoin, c.Client.ServerJoin.RetryJoin)
	if a.server != nil {
		servers = append(servers, a.server.RPCAddr())
	}
	httpAddr, err := withPort(c.Published.HTTP, httpBound)
	if err != nil {
		return err
	}
	a.client, err = client.New(client.Config{
		Region: c.Region, Datacenter: c.Datacenter, Name: c.Name, NodePool: c.Client.NodePool, NodeClass: c.Client.NodeClass,
		Meta: c.Client.Meta, StateDir: c.Client.StateDir, Servers: servers, HTTPAddr: httpAddr,
		IntroToken: a.opts.IntroToken, Dev: c.DevMode, EnableDebug: c.EnableDebug, Logger: a.log, Logs: a.log,
		Reports: reports{a}, HTTPTLS: c.TLS.HTTP, DialTLS: a.dialTLS(),
	})
	if err != nil {
		return err
	}
	a.run("client", func() error { return a.client.Run(ctx) })
	return nil
}

func (a *agent) listenHTTP() ([]net.Listener, error) {
	out, err := listen("HTTP", a.config.Listen.HTTP...)
	if err == nil && len(out) == 0 {
		err = errors.New("no HTTP address to listen on")
	}
	return out, err
}

// listenPublic opens the port of the public listener, if there is to be one.
func (a *agent) listenPublic() ([]net.Listener, error) {
	if a.config.Listen.Public == "" {
		return nil, nil
	}
	return listen("public", a.config.Listen.Public)
}

// listen opens TCP ports, all or none.
func listen(what string, addrs ...string) ([]net.Listener, error) {
	var out []net.Listener
	for _, addr := range addrs {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			closeAll(out)
			return nil, fmt.Errorf("open %s port: %w", what, err)
		}
		out = append(out, ln)
	}
	return out, nil
}

// startHTTP puts the API in front of whichever part there is, and the public listener beside it.
func (a *agent) startHTTP(listeners, public []net.Listener) error {
	conf := a.httpConfig(listeners)
	if a.tls.http != nil {
		conf.TLS = a.tls.http.HTTPS()
	}
	var err error
	if a.http, err = a.newHTTP(conf); err != nil {
		closeAll(public)
		return err
	}
	a.reporter.Store(a.http)
	a.run("HTTP", a.http.Serve)
	if len(public) == 0 {
		return nil
	}
	conf = a.httpConfig(public)
	conf.Public, conf.AgentConfig, conf.PrometheusMetrics = true, nil, false
	if a.tls.public != nil {
		conf.TLS = a.tls.public.HTTPS()
	}
	if a.public, err = a.newHTTP(conf); err != nil {
		return err
	}
	a.run("public listener", a.public.Serve)
	a.log.Info("public listener started", "addr", a.public.Addrs()[0].String())
	return nil
}

func (a *agent) httpConfig(listeners []net.Listener) httpapi.Config {
	c := a.config
	conf := httpapi.Config{
		Logger: a.log, Logs: a.log, Listeners: listeners, Region: c.Region, Datacenter: c.Datacenter, NodeName: c.Name,
		Reload: a.askReload, EnableDebug: c.EnableDebug, MaxConnsPerClient: c.Limits.HTTPMaxConnsPerClient, MaxRequestsPerClient: c.Limits.HTTPMaxRequestsPerClient,
		MaxBytesPerClient: c.Limits.HTTPMaxBytesPerClient, MaxBodyBytes: c.Limits.HTTPMaxBodyBytes,
		HeaderTimeout: c.Limits.HTTPHeaderTimeout, BodyTimeout: c.Limits.HTTPBodyTimeout, RetryAfter: c.Limits.RetryAfter,
		HandshakeTimeout: c.Limits.HTTPSHandshakeTimeout, ACL: httpACL(c),
		AgentConfig: func() map[string]any { return a.shown.Load().Redacted() },
		Metrics:     a.tel.inmem, PrometheusMetrics: a.tel.prometheus != nil,
	}
	if a.tel.prometheus != nil {
		conf.PrometheusGatherer = a.tel.prometheus
	}
	return conf
}

func (a *agent) newHTTP(conf httpapi.Config) (*httpapi.HTTPServer, error) {
	var backend httpapi.RPC
	var srv httpapi.Server
	var cli httpapi.Client
	if a.client != nil {
		cli, backend = a.client, a.client
	}
	if a.server != nil {
		srv, backend = a.server, a.server
	}
	s, err := httpapi.New(conf, backend, srv, cli)
	if err != nil {
		closeAll(conf.Listeners)
	}
	return s, err
}

// httpACL says how the API checks tokens by itself. A server has policies and tokens at hand and keeps no copies; an
// agent without one keeps them as long as it is told.
func httpACL(c *config.Config) httpapi.ACLConfig {
	a := httpapi.ACLConfig{Enabled: c.ACL.Enabled}
	if !c.Server.Enabled {
		a.TokenTTL, a.PolicyTTL, a.RoleTTL = c.ACL.TokenTTL, c.ACL.PolicyTTL, c.ACL.RoleTTL
	}
	return a
}
