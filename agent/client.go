package agent

import (
	"context"
	"fmt"
	"net"
	"slices"

	"github.com/rollcall-id/rollcall/client"
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
		IntroToken: a.opts.IntroToken, Dev: c.DevMode, Logger: a.log,
	})
	if err != nil {
		return err
	}
	a.run("client", func() error { return a.client.Run(ctx) })
	return nil
}

func (a *agent) listenHTTP() ([]net.Listener, error) {
	var out []net.Listener
	for _, addr := range a.config.Listen.HTTP {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			closeAll(out)
			return nil, fmt.Errorf("open HTTP port: %w", err)
		}
		out = append(out, ln)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no HTTP address to listen on")
	}
	return out, nil
}

// startHTTP puts the API in front of whichever part there is.
func (a *agent) startHTTP(listeners []net.Listener) error {
	c := a.config
	conf := httpapi.Config{
		Logger: a.log, Listeners: listeners, Region: c.Region, Datacenter: c.Datacenter, NodeName: c.Name,
		MaxConnsPerClient: c.Limits.HTTPMaxConnsPerClient,
		AgentConfig:       func() map[string]any { return a.shown.Load().Redacted() },
		Metrics:           a.tel.inmem, PrometheusMetrics: a.tel.prometheus != nil,
	}
	if a.tel.prometheus != nil {
		conf.PrometheusGatherer = a.tel.prometheus
	}
	var backend httpapi.RPC
	var srv httpapi.Server
	var cli httpapi.Client
	if a.client != nil {
		cli, backend = a.client, a.client
	}
	if a.server != nil {
		srv, backend = a.server, a.server
	}
	var err error
	if a.http, err = httpapi.New(conf, backend, srv, cli); err != nil {
		closeAll(listeners)
		return err
	}
	a.run("HTTP", a.http.Serve)
	return nil
}
