package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

// Stream fails as everything does on a broken caller.
func (b *brokenCaller) Stream(context.Context, string, string) (net.Conn, error) {
	return nil, net.ErrClosed
}

// Stream starts nothing: what runs over streams is not this package's.
func (w wires) Stream(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("the fake cluster has no streams")
}

// streamPool answers by address: an error, or a connection that its test compares.
type streamPool struct {
	caller
	answer map[string]any
	asked  []string
}

func (p *streamPool) Stream(_ context.Context, addr, method string) (net.Conn, error) {
	p.asked = append(p.asked, addr+" "+method)
	if conn, ok := p.answer[addr].(net.Conn); ok {
		return conn, nil
	}
	return nil, p.answer[addr].(error)
}

func (p *streamPool) Close() error { return nil }

func TestStreamGoesOnToAServerThatAnswers(t *testing.T) {
	conn, far := net.Pipe()
	defer conn.Close()
	defer far.Close()
	unreachable := &transport.TransportError{Op: "failed to get conn", Err: errors.New("refused")}
	broken := &transport.TransportError{Op: "failed to start streaming call", Sent: true, Err: errors.New("reset")}
	stopping := &transport.RemoteError{Text: structs.ErrShutdown.Error()}
	for _, tc := range []struct {
		name   string
		answer map[string]any
		asked  int
		text   string // of the error; empty for none
		is     error
	}{
		{"the first one answers", map[string]any{"a:1": conn, "b:2": conn}, 1, "", nil},
		{"the others can't be reached, break off or stop", map[string]any{"a:1": unreachable, "b:2": broken, "c:3": stopping, "d:4": conn}, 0, "", nil},
		{"none can be reached", map[string]any{"a:1": unreachable, "b:2": broken}, 2, "Operator.SnapshotSave: rpc error: ", nil},
		{
			"a refusal is not repeated", map[string]any{"a:1": &transport.RemoteError{Text: "Permission denied"}, "b:2": &transport.RemoteError{Text: "Permission denied"}},
			1, "Permission denied", structs.ErrPermissionDenied,
		},
		{"no servers are known", nil, 0, ErrNoServers.Error(), ErrNoServers},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var names []string
			for name := range tc.answer {
				names = append(names, name)
			}
			pool := &streamPool{answer: tc.answer}
			c := newTestClient(t, newFakeCluster(names...), new(memStore), nil)
			defer c.Shutdown()
			c.pool = pool
			got, err := c.Stream(t.Context(), "Operator.SnapshotSave")
			if tc.text == "" {
				if err != nil || got != conn {
					t.Fatalf("got %v, %v", got, err)
				}
				if again, _ := c.Stream(t.Context(), "x"); again != conn || pool.asked[len(pool.asked)-1] != strings.Fields(pool.asked[len(pool.asked)-2])[0]+" x" {
					t.Errorf("the next stream went elsewhere: %v", pool.asked)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.text) || tc.is != nil && !errors.Is(err, tc.is) || len(pool.asked) != tc.asked {
				t.Errorf("asked %v, got %v", pool.asked, err)
			}
		})
	}
}

func TestStreamEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	pool := &streamPool{answer: map[string]any{"a:1": fmt.Errorf("dial: %w", ctx.Err()), "b:2": fmt.Errorf("dial: %w", ctx.Err())}}
	c := newTestClient(t, newFakeCluster("a:1", "b:2"), new(memStore), nil)
	defer c.Shutdown()
	c.pool = pool
	if _, err := c.Stream(ctx, "x"); !errors.Is(err, context.Canceled) || len(pool.asked) != 1 {
		t.Errorf("asked %v, got %v", pool.asked, err)
	}
}
