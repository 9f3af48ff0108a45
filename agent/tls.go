package agent

import (
	"context"
	"crypto/tls"
	"time"

	"github.com/hashicorp/go-metrics"

	"github.com/rollcall-id/rollcall/certs"
	"github.com/rollcall-id/rollcall/config"
)

const (
	// certsInterval is how often the files of certificates are looked at, and the gauges of their ends set.
	certsInterval = 5 * time.Second
	// warnInterval is how often the log says that a certificate is about to expire.
	warnInterval = 12 * time.Hour
)

// protection is what the agent's connections are protected with; nil where they are not.
type protection struct {
	rpc    *certs.Keeper
	http   *certs.Keeper
	public *certs.Keeper
}

// keepers are the different ones.
func (p protection) keepers() []*certs.Keeper {
	var out []*certs.Keeper
	for _, k := range []*certs.Keeper{p.rpc, p.http, p.public} {
		if k != nil && (len(out) == 0 || out[len(out)-1] != k) {
			out = append(out, k)
		}
	}
	return out
}

// loadCerts reads the certificates that the configuration asks for, before anything listens.
func (a *agent) loadCerts() error {
	c := a.config
	if c.TLS.RPC || c.TLS.HTTP {
		k, err := certs.New(a.certsConfig("tls", tlsFiles(c)))
		if err != nil {
			return err
		}
		if c.TLS.RPC {
			a.tls.rpc = k
		}
		if c.TLS.HTTP {
			a.tls.http = k
		}
	}
	if c.Public.Enabled && c.Public.TLS {
		conf := a.certsConfig("public", publicFiles(c))
		conf.RPC, conf.VerifyHTTPSClient = false, false
		k, err := certs.New(conf)
		if err != nil {
			return err
		}
		a.tls.public = k
	}
	for _, k := range a.tls.keepers() {
		k.WarnOfExpiry()
	}
	return nil
}

func (a *agent) certsConfig(block string, files certs.Files) certs.Config {
	t := a.config.TLS
	return certs.Config{
		Block: block, Files: files, RPC: t.RPC, Server: a.config.Server.Enabled, Region: a.config.Region,
		VerifyNames: t.VerifyServerHostname, VerifyHTTPSClient: t.VerifyHTTPSClient,
		MinVersion: t.MinVersionID(), CipherSuites: t.CipherSuiteIDs(), Logger: a.log,
	}
}

func tlsFiles(c *config.Config) certs.Files {
	return certs.Files{CA: c.TLS.CAFile, Cert: c.TLS.CertFile, Key: c.TLS.KeyFile}
}

func publicFiles(c *config.Config) certs.Files {
	if c.Public.CertFile != "" {
		return certs.Files{Cert: c.Public.CertFile, Key: c.Public.KeyFile}
	}
	return certs.Files{Cert: c.TLS.CertFile, Key: c.TLS.KeyFile}
}

// prepareCerts reads the files that next names; commit takes all of them into use.
func (a *agent) prepareCerts(next *config.Config) (commit func(), err error) {
	var commits []func()
	for _, k := range a.tls.keepers() {
		files := tlsFiles(next)
		if k == a.tls.public {
			files = publicFiles(next)
		}
		c, err := k.Prepare(files)
		if err != nil {
			return nil, err
		}
		commits = append(commits, c)
	}
	return func() {
		for _, c := range commits {
			c()
		}
	}, nil
}

// watchCerts looks after the certificates until ctx ends: new files are loaded by themselves, gauges and log tell when they end.
func (a *agent) watchCerts(ctx context.Context) {
	for _, k := range a.tls.keepers() {
		a.tasks.Go(func() { k.Watch(ctx, certsInterval) })
		a.tasks.Go(func() { reportExpiry(ctx, k) })
	}
}

func reportExpiry(ctx context.Context, k *certs.Keeper) {
	gauges, warnings := time.NewTicker(certsInterval), time.NewTicker(warnInterval)
	defer gauges.Stop()
	defer warnings.Stop()
	for {
		for _, e := range k.Expiries() {
			metrics.SetGaugeWithLabels([]string{"tls", "expires_in_seconds"}, float32(e.Left.Seconds()),
				[]metrics.Label{{Name: "setting", Value: e.Setting}})
		}
		select {
		case <-ctx.Done():
			return
		case <-gauges.C:
		case <-warnings.C:
			k.WarnOfExpiry()
		}
	}
}

// dialTLS is the configuration of the node's connections to servers; nil without TLS.
func (a *agent) dialTLS() func(string) *tls.Config {
	if a.tls.rpc == nil {
		return nil
	}
	k, region := a.tls.rpc, a.config.Region
	return func(string) *tls.Config { return k.Outgoing(region) }
}
