package agent

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"regexp"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-id/rollcall/config"
	eventual "github.com/rollcall-id/rollcall/internal/eventually"
	"github.com/rollcall-id/rollcall/internal/leak"
)

func TestMain(m *testing.M) {
	// The gossip library leaves this behind when its port is taken, as in one of the tests; package server's tests
	// look at pools that did start.
	leftOver := goleak.IgnoreAnyFunction("github.com/hashicorp/serf/serf.(*serfQueries).stream")
	goleak.VerifyTestMain(m, append(leak.Ignored(), leftOver)...)
}

// logBuffer keeps the log for the test to look at.
type logBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// parse reads the text over base, as the command does.
func parse(t *testing.T, base *config.Config, text string) *config.Config {
	t.Helper()
	c, err := config.Parse(base, "test.hcl", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := c.Normalize(); err != nil {
		t.Fatal(err)
	}
	return c
}

// anyPort is dev mode on ports that the kernel chooses.
const anyPort = `
name = "dev"
ports {
  http = 0
  rpc  = 0
  serf = 0
}
`

// process is an agent that runs in this process.
type process struct {
	signals chan os.Signal
	log     *logBuffer
	done    chan error
	ended   bool
}

// launch runs an agent that the test's end stops.
func launch(t *testing.T, opts Options) *process {
	t.Helper()
	p := &process{signals: make(chan os.Signal), log: &logBuffer{}, done: make(chan error, 1)}
	opts.Log, opts.Signals = p.log, p.signals
	ctx, cancel := context.WithCancel(context.Background())
	go func() { p.done <- Run(ctx, opts) }()
	t.Cleanup(func() {
		cancel()
		if !p.ended {
			_ = p.wait(t) // the test looked at what it is about
		}
		if t.Failed() {
			t.Logf("log of the agent:\n%s", p.log)
		}
	})
	return p
}

// wait returns what Run returned.
func (p *process) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-p.done:
		p.ended = true
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("the agent does not stop")
		return nil
	}
}

var startedLine = regexp.MustCompile(`agent started: http=(\S+)`)

// httpAddr waits until the agent has started and returns where its API is.
func (p *process) httpAddr(t *testing.T) string {
	t.Helper()
	var addr string
	eventually(t, "the agent to start", func() error {
		select {
		case err := <-p.done:
			p.done <- err
			t.Fatalf("the agent ended: %v", err)
		default:
		}
		m := startedLine.FindStringSubmatch(p.log.String())
		if m == nil {
			return fmt.Errorf("not started")
		}
		addr = m[1]
		return nil
	})
	return addr
}

// eventually waits until ok says so.
func eventually(t *testing.T, what string, ok func() error) {
	t.Helper()
	eventual.True(t, what, ok)
}

// takenPort listens on a port for the test's time.
func takenPort(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln.Addr().(*net.TCPAddr).Port
}
