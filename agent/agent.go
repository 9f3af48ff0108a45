package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/client"
	"github.com/rollcall-id/rollcall/config"
	"github.com/rollcall-id/rollcall/httpapi"
	"github.com/rollcall-id/rollcall/internal/version"
	"github.com/rollcall-id/rollcall/server"
)

// stopTimeout is how long requests may take to finish once the agent stops.
const stopTimeout = 10 * time.Second

// errNothingToReload: the agent was started by flags alone.
var errNothingToReload = errors.New("nothing to reload: the agent runs without configuration files")

// Options are what an agent is started with.
type Options struct {
	// Config is validated and normalized.
	Config *config.Config
	// Reload reads the configuration anew, as it was read at the start; nil refuses to reload.
	Reload func() (*config.Config, error)
	// IntroToken introduces a node that has never registered.
	IntroToken string
	// Log receives the log.
	Log io.Writer
	// Signals replaces the process's own signals, for tests.
	Signals <-chan os.Signal
}

// agent is one running process.
type agent struct {
	opts   Options
	config *config.Config // used by Run's goroutine
	shown  atomic.Pointer[config.Config]
	log    hclog.InterceptLogger

	tel    *telemetry
	server *server.Server
	client *client.Client
	http   *httpapi.HTTPServer
	public *httpapi.HTTPServer // nil without a public listener
	// reporter is http once it is there: who asks this agent by another one may come earlier.
	reporter atomic.Pointer[httpapi.HTTPServer]
	tls      protection

	tasks   sync.WaitGroup
	failed  chan error
	reloads chan chan error // of those who ask by HTTP; each gets how it went
	// stopping is closed when the agent begins to stop: nobody reloads any more.
	stopping chan struct{}
}

// Run starts the agent and returns when it has stopped: nil after a signal or the end of ctx, else why it could
// not start or go on.
func Run(ctx context.Context, opts Options) (err error) {
	a := &agent{opts: opts, config: opts.Config, failed: make(chan error, 4), reloads: make(chan chan error), stopping: make(chan struct{})}
	a.shown.Store(a.config)
	a.log = newLog(opts.Config, opts.Log)
	signals := opts.Signals
	if signals == nil {
		ch := make(chan os.Signal, 4)
		signal.Notify(ch, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
		defer signal.Stop(ch)
		signals = ch
	}
	ctx, cancel := context.WithCancel(ctx)
	leave := false
	defer func() {
		cancel()
		close(a.stopping)
		notify(a.log, daemon.SdNotifyStopping)
		err = errors.Join(err, a.stop(leave))
	}()
	if err := a.start(ctx); err != nil {
		return err
	}
	notify(a.log, daemon.SdNotifyReady)
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-a.failed:
			return err
		case reply := <-a.reloads:
			reply <- a.reload()
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				_ = a.reload() // it has logged how it went
				continue
			}
			a.log.Info("stopping", "signal", sig)
			leave = sig == os.Interrupt && a.config.LeaveOnInterrupt || sig == syscall.SIGTERM && a.config.LeaveOnTerminate
			return nil
		}
	}
}

func newLog(c *config.Config, w io.Writer) hclog.InterceptLogger {
	return hclog.NewInterceptLogger(&hclog.LoggerOptions{
		Name: "rollcall", Level: hclog.LevelFromString(c.LogLevel), JSONFormat: c.LogJSON, Output: w,
	})
}

// start brings the parts up, what others stand on first.
func (a *agent) start(ctx context.Context) error {
	info := version.Get()
	a.log.Info("starting", "version", info.Version, "commit", info.Commit, "server", a.config.Server.Enabled, "client", a.config.Client.Enabled)
	for _, w := range a.config.Warnings() {
		a.log.Warn("configuration: " + w.Error())
	}
	var err error
	if a.tel, err = startTelemetry(a.config); err != nil {
		return err
	}
	if err := a.loadCerts(); err != nil {
		return err
	}
	if a.config.Server.Enabled {
		if err := a.startServer(); err != nil {
			return fmt.Errorf("start server: %w", err)
		}
	}
	listeners, err := a.listenHTTP()
	if err != nil {
		return err
	}
	public, err := a.listenPublic()
	if err != nil {
		closeAll(listeners)
		return err
	}
	if a.config.Client.Enabled {
		if err := a.startClient(ctx, listeners[0].Addr()); err != nil {
			closeAll(append(listeners, public...))
			return fmt.Errorf("start client: %w", err)
		}
	}
	if err := a.startHTTP(listeners, public); err != nil {
		return err
	}
	a.watchCerts(ctx)
	a.followTrust(ctx)
	a.log.Info("agent started", "http", a.http.Addrs()[0].String())
	return nil
}

// run keeps a part going in the background; its end before the agent's is a failure.
func (a *agent) run(name string, f func() error) {
	a.tasks.Add(1)
	go func() {
		defer a.tasks.Done()
		if err := f(); err != nil {
			a.fail(fmt.Errorf("%s: %w", name, err))
		}
	}()
}

func (a *agent) fail(err error) {
	select {
	case a.failed <- err:
	default: // one reason is enough to stop
	}
}

// stop brings the parts down in reverse order. leave says goodbye to the other servers first.
func (a *agent) stop(leave bool) error {
	var errs []error
	if a.client != nil {
		errs = append(errs, a.client.Shutdown())
	}
	for _, h := range []*httpapi.HTTPServer{a.public, a.http} {
		if h == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		errs = append(errs, h.Shutdown(ctx))
	}
	if a.server != nil {
		if leave {
			errs = append(errs, a.server.Leave())
		}
		errs = append(errs, a.server.Shutdown())
	}
	a.tasks.Wait()
	if a.tel != nil {
		a.tel.stop()
	}
	err := errors.Join(errs...)
	if err == nil {
		a.log.Info("stopped")
	}
	return err
}

// askReload is reload for those who ask by HTTP. ctx bounds how long they wait for it.
func (a *agent) askReload(ctx context.Context) error {
	reply := make(chan error, 1)
	select {
	case a.reloads <- reply:
	case <-a.stopping:
		return errors.New("the agent is stopping")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-reply:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// reload takes over what can change in a running agent. A configuration that is wrong, or that changes what
// needs a restart, changes nothing. How it went is logged: who sent the signal reads nothing else.
func (a *agent) reload() error {
	if a.opts.Reload == nil {
		a.log.Warn("nothing to reload: the agent runs without configuration files")
		return errNothingToReload
	}
	notify(a.log, daemon.SdNotifyReloading)
	defer notify(a.log, daemon.SdNotifyReady)
	next, err := a.opts.Reload()
	if err != nil {
		a.log.Error("configuration not reloaded", "error", err)
		return fmt.Errorf("configuration not reloaded: %w", err)
	}
	changes, refused := config.Reloadable(a.config, next)
	if len(refused) > 0 {
		a.log.Error("configuration not reloaded: these settings changed and need a restart", "settings", refused)
		return fmt.Errorf("configuration not reloaded: these settings changed and need a restart: %s", strings.Join(refused, ", "))
	}
	commit, err := a.prepareCerts(next)
	if err != nil {
		a.log.Error("configuration not reloaded", "error", err)
		return fmt.Errorf("configuration not reloaded: %w", err)
	}
	commit()
	a.config = a.config.Reloaded(next)
	a.shown.Store(a.config)
	a.log.SetLevel(hclog.LevelFromString(a.config.LogLevel))
	if a.server != nil {
		a.server.SetHeartbeatConfig(heartbeatConfig(a.config))
	}
	a.log.Info("configuration reloaded", "changed", changes)
	return nil
}

// notify tells systemd, where it started the agent, how things stand.
func notify(log hclog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("service manager not told", "state", state, "error", err)
	}
}

func closeAll(ls []net.Listener) {
	for _, l := range ls {
		_ = l.Close() // nothing was sent yet
	}
}
