package config

import "time"

const (
	// streamReserve is how many of an address's connections streaming calls must leave free.
	streamReserve = 20
	// leastBody and mostBody bound what may be configured as the largest request or body, in bytes.
	leastBody = 64 << 10
	mostBody  = 64 << 20
)

func (v *validator) limits() {
	l := v.Limits
	for _, t := range []struct {
		key string
		d   time.Duration
	}{{"limits.rpc_handshake_timeout", l.RPCHandshakeTimeout}, {"limits.https_handshake_timeout", l.HTTPSHandshakeTimeout}} {
		if t.d < 0 {
			v.errorf(t.key, "must be 0s or more, got %s", t.d)
		}
	}
	v.notNegative("limits.http_max_conns_per_client", l.HTTPMaxConnsPerClient)
	// Streaming connections may use all but 20 of them.
	if n := l.RPCMaxConnsPerClient; n != 0 && n <= streamReserve {
		v.errorf("limits.rpc_max_conns_per_client", "must be 0 for no limit, or more than the %d kept free of streams, got %d",
			streamReserve, n)
	}
	v.positive("limits.rpc_frame_timeout", l.RPCFrameTimeout)
	v.positive("limits.http_header_timeout", l.HTTPHeaderTimeout)
	v.positive("limits.http_body_timeout", l.HTTPBodyTimeout)
	if l.RetryAfter < time.Millisecond || l.RetryAfter > time.Minute {
		v.errorf("limits.retry_after", "must be from 1ms to 1m, got %s", l.RetryAfter)
	}
	v.between("limits.hostile_log_rate", l.HostileLogRate, 1, 1000)
	v.between("limits.rpc_max_request_bytes", l.RPCMaxRequestBytes, leastBody, mostBody)
	v.between("limits.http_max_body_bytes", l.HTTPMaxBodyBytes, leastBody, mostBody)
	v.between("limits.rpc_max_in_flight", l.RPCMaxInFlight, 16, 1<<20)
	v.between("limits.rpc_max_blocking", l.RPCMaxBlocking, 16, 1<<24)
	for _, n := range []struct {
		key   string
		n     int
		least int // that makes sense, if it is not 0
	}{
		{"limits.rpc_max_streams_per_client", l.RPCMaxStreamsPerClient, 16},
		{"limits.rpc_max_requests_per_client", l.RPCMaxRequestsPerClient, 16},
		{"limits.rpc_max_bytes_per_client", l.RPCMaxBytesPerClient, max(leastBody, l.RPCMaxRequestBytes)},
		{"limits.http_max_requests_per_client", l.HTTPMaxRequestsPerClient, 1},
		{"limits.http_max_bytes_per_client", l.HTTPMaxBytesPerClient, 4 * max(leastBody, l.HTTPMaxBodyBytes)},
	} {
		if n.n != 0 && n.n < n.least {
			v.errorf(n.key, "must be 0 for no limit, or %d or more, got %d", n.least, n.n)
		}
	}
}
