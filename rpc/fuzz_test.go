package rpc

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// FuzzServeRPC calls any method with any body: nothing may panic, and what is proposed must be what the state
// machine can apply (newWorld checks that at the end).
func FuzzServeRPC(f *testing.F) {
	methods := slices.Sorted(maps.Keys(requests))
	for i, name := range methods {
		body, err := structs.EncodeBytes(requests[name](""))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), body)
		body, _ = structs.EncodeBytes(requests[name](secretOf(1)))
		f.Add(uint8(i), body)
	}
	f.Add(uint8(0), []byte{0xc0})
	f.Add(uint8(1), []byte{0xdf, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, method uint8, body []byte) {
		w := newFleet(t, func(c *Config) {
			c.HoldTimeout, c.DefaultQueryTime, c.MaxQueryTime = time.Millisecond, time.Millisecond, time.Millisecond
		})
		before := w.raft.count()
		name := methods[int(method)%len(methods)]
		reply, err := w.srv.ServeRPC(context.Background(), nil, name, body)
		if (reply == nil) == (err == nil) {
			t.Fatalf("%s: reply %v, error %v", name, reply, err)
		}
		req := w.srv.methods[name].newRequest()
		if structs.Decode(body, req) != nil && w.raft.count() != before {
			t.Fatalf("%s: %q was not understood and something was written", name, body)
		}
		if err != nil {
			return
		}
		if _, err := structs.EncodeBytes(reply); err != nil {
			t.Fatalf("%s: the reply can't be encoded: %v", name, err)
		}
	})
}
