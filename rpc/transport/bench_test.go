package transport

import (
	"context"
	"fmt"
	"net"
	"net/rpc"
	"sync/atomic"
	"testing"

	msgpackrpc "github.com/hashicorp/net-rpc-msgpackrpc/v2"
	"github.com/hashicorp/yamux"

	"github.com/rollcall-id/rollcall/structs"
)

// statusArgs has the size of a heartbeat with its token.
type statusArgs struct {
	NodeID, Status, IdentitySigningKeyID         string
	ForceIdentityRenewal                         bool
	NodeEvent                                    any
	UpdatedAt                                    int64
	Region, Namespace, AuthToken, IdempotencyKey string
	Forwarded                                    bool
}

type statusReply struct {
	HeartbeatTTL, NodeModifyIndex int64
	LeaderRPCAddr                 string
	SignedIdentity                *string
	Index                         uint64
}

var benchArgs = &statusArgs{NodeID: "6a1f7b5e-2d3c-4b5a-9e8f-0123456789ab", Status: "ready", Region: "global", AuthToken: fmt.Sprintf("%0640d", 7)}

type benchHandler struct{}

func (benchHandler) ServeRPC(_ context.Context, _ *Conn, _ string, body []byte) (any, error) {
	var a statusArgs
	if err := structs.Decode(body, &a); err != nil {
		return nil, err
	}
	return &statusReply{HeartbeatTTL: 1, LeaderRPCAddr: "127.0.0.1:4647"}, nil
}

func (benchHandler) ServeStream(context.Context, *Conn, net.Conn, string) error { return nil }

const benchCallers = 64

// BenchmarkEcho is the ceiling for every RPC: 64 callers, a heartbeat's request and reply decoded and encoded on both
// sides, over loopback TCP, with nothing done in between.
func BenchmarkEcho(b *testing.B) {
	b.Run("pool, one session", func(b *testing.B) {
		ts := startServer(b, func(c *Config) { c.Handler = benchHandler{} })
		p := startPool(b, PoolConfig{})
		runCallers(b, func(int) func() error {
			return func() error {
				var out statusReply
				return p.Call(context.Background(), ts.addr, "Node.UpdateStatus", benchArgs, &out)
			}
		})
	})
	b.Run("pool, eight sessions", func(b *testing.B) {
		ts := startServer(b, func(c *Config) { c.Handler = benchHandler{} })
		pools := make([]*Pool, 8)
		for i := range pools {
			pools[i] = startPool(b, PoolConfig{})
		}
		runCallers(b, func(i int) func() error {
			return func() error {
				var out statusReply
				return pools[i%len(pools)].Call(context.Background(), ts.addr, "Node.UpdateStatus", benchArgs, &out)
			}
		})
	})
	b.Run("pool with a deadline", func(b *testing.B) {
		ts := startServer(b, func(c *Config) { c.Handler = benchHandler{} })
		p := startPool(b, PoolConfig{})
		runCallers(b, func(int) func() error {
			return func() error {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				var out statusReply
				return p.Call(ctx, ts.addr, "Node.UpdateStatus", benchArgs, &out)
			}
		})
	})
	b.Run("pool over TLS", func(b *testing.B) {
		ts := startServer(b, func(c *Config) { c.Handler, c.TLSConfig = benchHandler{}, testTLS })
		p := startPool(b, PoolConfig{DialTLS: useTestTLS})
		runCallers(b, func(int) func() error {
			return func() error {
				var out statusReply
				return p.Call(context.Background(), ts.addr, "Node.UpdateStatus", benchArgs, &out)
			}
		})
	})
	b.Run("net/rpc clients, eight sessions", func(b *testing.B) {
		ts := startServer(b, func(c *Config) { c.Handler = benchHandler{} })
		sessions := make([]*yamux.Session, 8)
		for i := range sessions {
			s, err := yamux.Client(dialBytes(b, ts.addr, ByteMultiplexV2), nil)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			sessions[i] = s
		}
		runCallers(b, func(i int) func() error {
			st, err := openStream(context.Background(), sessions[i%len(sessions)], ByteRPC)
			if err != nil {
				b.Fatal(err)
			}
			c := rpc.NewClientWithCodec(msgpackrpc.NewCodecFromHandle(true, true, st, structs.MsgpackHandle))
			return func() error {
				var out statusReply
				return c.Call("Node.UpdateStatus", benchArgs, &out)
			}
		})
	})
}

// BenchmarkLatency is one caller alone.
func BenchmarkLatency(b *testing.B) {
	ts := startServer(b, func(c *Config) { c.Handler = benchHandler{} })
	p := startPool(b, PoolConfig{})
	b.ReportAllocs()
	for b.Loop() {
		var out statusReply
		if err := p.Call(context.Background(), ts.addr, "Node.UpdateStatus", benchArgs, &out); err != nil {
			b.Fatal(err)
		}
	}
}

func runCallers(b *testing.B, caller func(i int) func() error) {
	calls := make([]func() error, benchCallers)
	for i := range calls {
		calls[i] = caller(i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	var next atomic.Int64
	done := make(chan error, len(calls))
	for _, call := range calls {
		go func() {
			for next.Add(1) <= int64(b.N) {
				if err := call(); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range calls {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}
