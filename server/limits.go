package server

import (
	"net/netip"

	"github.com/rollcall-id/rollcall/rpc"
	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

// limitTransport sets the limits of the RPC port.
func (s *Server) limitTransport(conf *transport.Config) {
	l := s.cfg.ConnLimits
	unlimited := func(n int) int {
		if n == 0 {
			return -1
		}
		return n
	}
	conf.MaxConnsPerIP, conf.MaxStreamsPerIP = unlimited(l.MaxPerIP), unlimited(l.MaxStreamsPerIP)
	conf.MaxRequestsPerIP, conf.MaxBytesPerIP = unlimited(l.MaxRequestsPerIP), unlimited(l.MaxBytesPerIP)
	conf.MaxRequestBytes, conf.FrameTimeout, conf.LogRate = l.MaxRequestBytes, l.FrameTimeout, l.LogRate
	if conf.HandshakeTimeout = l.HandshakeTimeout; l.HandshakeTimeout == 0 {
		conf.HandshakeTimeout = noDeadline
	}
	conf.Trusted, conf.Metrics = s.isServer, globalMetrics{}
	pause := s.cfg.RPC.RetryAfter
	if pause == 0 {
		pause = rpc.DefaultRetryAfter
	}
	conf.Overloaded = structs.Overloaded(pause)
}

// isServer reports whether the address is that of a server of this region, which speaks for its own callers.
func (s *Server) isServer(addr netip.Addr) bool {
	for _, known := range s.gossip.Servers() {
		if ap, err := netip.ParseAddrPort(known.RPCAdvertiseAddr); err == nil && ap.Addr().Unmap() == addr {
			return true
		}
	}
	return false
}
