package client

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

func TestServersFollowTheNodesLog(t *testing.T) {
	log := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "rollcall", Level: hclog.Error, Output: io.Discard})
	f := newFakeCluster()
	f.ttl = time.Hour
	h, _ := listen(t, f)
	cfg := testConfig(h.addr)
	cfg.Dev, cfg.Logger, cfg.Logs = true, log, log
	c, stop := start(t, cfg)
	waitReady(t, c)

	// follow asks as a server does, and returns a reader of the frames.
	follow := func(req *structs.MonitorRequest) func() (*structs.StreamFrame, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		conn, err := h.sessions()[0].StreamReverse(ctx, "Agent.Monitor")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		body, err := structs.EncodeBytes(req)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(body); err != nil {
			t.Fatal(err)
		}
		in := transport.NewReader(conn, 0)
		return func() (*structs.StreamFrame, error) {
			b, err := in.ReadValue("log", structs.Limits{MaxBytes: 1 << 20})
			if err != nil {
				return nil, err
			}
			frame := new(structs.StreamFrame)
			return frame, structs.Decode(b, frame)
		}
	}
	next := follow(&structs.MonitorRequest{NodeID: c.NodeID(), LogLevel: "info", PlainText: true})
	if frame, err := next(); err != nil || frame.Error != nil || len(frame.Payload) > 0 {
		t.Fatalf("first %+v, %v", frame, err)
	}
	log.Named("client").Info("what the node says")
	for all := ""; !strings.Contains(all, "what the node says"); {
		frame, err := next()
		if err != nil || frame.Error != nil {
			t.Fatalf("after %q: %+v, %v", all, frame, err)
		}
		all += string(frame.Payload)
		for _, s := range []string{c.cred.secretID, signature} {
			if strings.Contains(all, s) {
				t.Errorf("the log contains %q", s)
			}
		}
	}

	for name, tc := range map[string]struct {
		req  structs.MonitorRequest
		code int64
	}{
		"another node":     {structs.MonitorRequest{NodeID: "00000000-0000-4000-8000-000000000009"}, 404},
		"no node":          {structs.MonitorRequest{}, 404},
		"an unknown level": {structs.MonitorRequest{NodeID: c.NodeID(), LogLevel: "loud"}, 400},
	} {
		frame, err := follow(&tc.req)()
		if err != nil || frame.Error == nil || frame.Error.Code == nil || *frame.Error.Code != tc.code {
			t.Errorf("%s: %+v, %v; want an error with code %d", name, frame, err, tc.code)
		}
	}
	stop()
	for {
		if _, err := next(); err != nil {
			break
		}
	}
}
