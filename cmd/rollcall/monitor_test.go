package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/rpc"
)

// interrupting interrupts the command when a line has been printed.
type interrupting struct {
	bytes.Buffer
	interrupt func()
}

func (w *interrupting) Write(p []byte) (int, error) {
	defer w.interrupt()
	return w.Buffer.Write(p)
}

// registered tells of followers.
type registered struct {
	hclog.InterceptLogger
	came func()
}

func (r registered) RegisterSink(s hclog.SinkAdapter) {
	r.InterceptLogger.RegisterSink(s)
	r.came()
}

func TestMonitor(t *testing.T) {
	log := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "rollcall", Level: hclog.Error, Output: io.Discard})
	logs := registered{log, func() { log.Info("hello \x1b[31m") }}
	server := rpc.New(rpc.DefaultConfig("global"), rpc.Deps{Logger: hclog.NewNullLogger(), Logs: logs, Clock: time.Now, Leader: leading{}})
	c := newCluster()
	c.streams = func(ctx context.Context, method string) (net.Conn, error) { return server.Stream(ctx, method) }
	c.serve(t)

	for args, want := range map[string]string{
		"monitor": "[INFO]  rollcall: hello \uFFFD[31m\n", "monitor -json -server-id leader": `"@message":"hello \u001b[31m"`,
	} {
		ctx, interrupt := context.WithCancel(t.Context())
		out, errs := &interrupting{interrupt: interrupt}, new(bytes.Buffer)
		a := &app{in: strings.NewReader(""), out: out, err: errs}
		code := a.run(ctx, append([]string{"rollcall"}, strings.Fields(args)...))
		interrupt()
		if code != exitOK || errs.Len() > 0 || !strings.Contains(out.String(), want) {
			t.Errorf("%s: exit %d, printed %q and %q, want %q", args, code, out, errs, want)
		}
	}
	for args, want := range map[string]outcome{
		"monitor -log-level loud": {exitError, "", `unknown log level "loud"`},
		"monitor -node-id 4d01":   {exitError, "", "several nodes have an ID that begins with"},
		"monitor -node-id zz":     {exitUsage, "", "is no node ID"},
	} {
		if got := rollcall(t, "", strings.Fields(args)...); got.code != want.code || !strings.Contains(got.err, want.err) {
			t.Errorf("%s: exit %d, %q; want %d, %q", args, got.code, got.err, want.code, want.err)
		}
	}
}
