package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/yamux"
)

// yamuxConfig is yamux's default (wire.md §1.2), but for the keepalive, which is muxConn's, and with its log at our levels:
// what it calls an error is a peer that went away.
func yamuxConfig(log hclog.Logger) *yamux.Config {
	cfg := yamux.DefaultConfig()
	cfg.EnableKeepAlive = false
	cfg.LogOutput = nil
	cfg.Logger = yamuxLogger{log}
	return cfg
}

type yamuxLogger struct{ log hclog.Logger }

func (l yamuxLogger) Printf(format string, args ...any) {
	switch {
	case l.log.IsTrace() && strings.HasPrefix(format, "[WARN]"):
		l.log.Trace(fmt.Sprintf(format, args...))
	case l.log.IsDebug() && !strings.HasPrefix(format, "[WARN]"):
		l.log.Debug(fmt.Sprintf(format, args...))
	}
}

func (l yamuxLogger) Print(args ...any) {
	if l.log.IsDebug() {
		l.log.Debug(fmt.Sprint(args...))
	}
}

func (l yamuxLogger) Println(args ...any) { l.Print(args...) }

// openStream opens a stream and says what it is. ctx bounds the wait for the peer to accept earlier ones.
func openStream(ctx context.Context, s *yamux.Session, first byte) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	stream, err := s.OpenStream()
	if err != nil {
		return nil, err
	}
	if _, err := stream.Write([]byte{first}); err != nil {
		stream.Close()
		return nil, err
	}
	return stream, nil
}

// refusedWrite tells whether yamux refused a write before taking any of it over.
func refusedWrite(err error) bool {
	return errors.Is(err, yamux.ErrStreamClosed) || errors.Is(err, yamux.ErrConnectionReset)
}
