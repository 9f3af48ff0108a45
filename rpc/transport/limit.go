package transport

import (
	"errors"
	"fmt"
	"net"

	"github.com/rollcall-id/rollcall/internal/quota"
	"github.com/rollcall-id/rollcall/structs"
)

var (
	errTooManyConns       = errors.New("too many connections from this address")
	errTooManyStreams     = errors.New("too many streaming connections from this address")
	errLingering          = fmt.Errorf("more than %d streams that the peer has opened and does not close", maxLingering)
	errTooManyOpenStreams = errors.New("too many open streams from this address")
)

// refusals names the counters of what is refused, by kind.
var refusals = map[quota.Kind]string{
	quota.Conns: "rpc_conns_refused", quota.Streaming: "rpc_streaming_refused", quota.Streams: "rpc_streams_refused",
	quota.Requests: "rpc_requests_refused", quota.Bytes: "rpc_bytes_refused",
}

func newQuota(cfg Config) *quota.Book {
	limits := quota.Limits{
		quota.Conns: cfg.MaxConnsPerIP, quota.Streams: cfg.MaxStreamsPerIP, quota.Requests: cfg.MaxRequestsPerIP,
		quota.Bytes: cfg.MaxBytesPerIP,
	}
	if cfg.MaxConnsPerIP > 0 {
		limits[quota.Streaming] = max(1, cfg.MaxConnsPerIP-nonStreamingReserve)
	}
	return quota.New(limits, quota.Options{Exempt: cfg.Trusted, Refused: func(k quota.Kind) { cfg.count(refusals[k]) }})
}

func (c *Config) count(name string) { c.Metrics.IncrCounter([]string{"limits", name}, 1) }

// report says why a connection was closed, and counts it if it was for being slow or for making no sense.
func (s *Server) report(conn net.Conn, err error) {
	var frame *FrameError
	var slow net.Error
	switch {
	case errors.As(err, &slow) && slow.Timeout():
		s.cfg.count("rpc_timeouts")
	case errors.As(err, &frame) && isHostile(frame):
		s.cfg.count("rpc_malformed")
	}
	s.closed.Warn("connection closed", "peer", conn.RemoteAddr(), "reason", err)
}

// isHostile tells apart what no peer of ours would send from a connection that broke off.
func isHostile(e *FrameError) bool {
	for _, kind := range []error{structs.ErrTooLarge, structs.ErrTooDeep, structs.ErrTooManyValues, structs.ErrBadByte, structs.ErrTrailingBytes, errNoHeader} {
		if errors.Is(e, kind) {
			return true
		}
	}
	return false
}
