package transport

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// silentHandler counts what gets through to it.
type silentHandler struct{ calls atomic.Int32 }

func (h *silentHandler) ServeRPC(context.Context, *Conn, string, []byte) (any, error) {
	h.calls.Add(1)
	return nil, nil
}

func (h *silentHandler) ServeStream(context.Context, *Conn, net.Conn, string) error {
	h.calls.Add(1)
	return nil
}

// Whatever comes first on a connection, without a TLS handshake nothing gets past a server that demands one: neither a call
// nor Raft's connections. The server answers no more than TLS alerts, closes, and goes on.
func FuzzTLSSniffing(f *testing.F) {
	h := &silentHandler{}
	ts := startServer(f, func(c *Config) {
		c.Handler, c.TLSConfig, c.RequireTLS, c.MaxConnsPerIP, c.HandshakeTimeout = h, testTLS, true, -1, 5*time.Second
	})
	go func() {
		for {
			c, err := ts.RaftLayer().Accept()
			if err != nil {
				return
			}
			h.calls.Add(1)
			_ = c.Close()
		}
	}()
	ping := "\x82\xa3Seq\x01\xadServiceMethod\xa9Test.Echo\x80"
	for _, seed := range []string{
		"", "\x01" + ping, "\x02\x04\x80", "\x03", "\x05\x81\xa6Method\xaaTest.Shout", "\x06\x00", "\x04", "\x04\x04", "\x04\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03",
		"\x16\x03\x01", "\x04" + ping, "\x04\x15\x03\x03\x00\x02\x02\x28", "GET / HTTP/1.1\r\n\r\n", "\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		conn, err := net.Dial("tcp", ts.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		_, _ = conn.Write(sent) // the server may have closed before it has everything
		_ = conn.(*net.TCPConn).CloseWrite()
		answer, _ := io.ReadAll(io.LimitReader(conn, 1<<16))
		if len(answer) > 0 && (sent[0] != ByteTLS || answer[0] != 0x15 && answer[0] != 0x16) {
			t.Errorf("% x is answered with % x", sent, answer)
		}
		if n := h.calls.Load(); n != 0 {
			t.Fatalf("% x got through", sent)
		}
	})
}
