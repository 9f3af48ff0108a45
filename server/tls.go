package server

import (
	"crypto/tls"
	"slices"

	"github.com/rollcall-id/rollcall/certs"
	"github.com/rollcall-id/rollcall/rpc/transport"
)

// protect turns on TLS for the RPC port and for Raft's connections, where it is configured.
func (s *Server) protect(conf *transport.Config) {
	if s.cfg.TLS == nil {
		return
	}
	conf.TLSConfig = s.cfg.TLS.Incoming
	conf.RequireTLS = !s.cfg.TLSUpgrade
	conf.DialTLS = func(string) *tls.Config { return s.cfg.TLS.Outgoing(s.cfg.Region) }
	conf.AuthorizeRaft = s.authorizeRaft
}

// authorizeRaft lets only servers of the region replicate (wire.md §1.6). While TLS is being introduced there are servers
// that can't show a certificate yet.
func (s *Server) authorizeRaft(c *transport.Conn) error {
	if !s.cfg.RPC.VerifyServerHostname || s.cfg.TLSUpgrade {
		return nil
	}
	return certs.CheckRole(c.TLSState(), s.cfg.Region, certs.RoleServer)
}

// dialTLS is the configuration for a call to another server, which has to be one of its region.
func (s *Server) dialTLS(addr string) *tls.Config {
	if s.cfg.TLS == nil {
		return nil
	}
	return s.cfg.TLS.Outgoing(s.regionOf(addr))
}

// Recheck closes the connections with peers that are not trusted any more, those of Raft among them, and returns why, one error for
// each. Raft dials again, and peers that have another certificate by now come back.
func (s *Server) Recheck() []error { return append(s.transport.Recheck(), s.pool.Recheck()...) }

// regionOf is the region of the server at addr: what gossip says of other regions' servers, else this one's.
func (s *Server) regionOf(addr string) string {
	regions := s.gossip.current.Load().regions
	if slices.Contains(regions[s.cfg.Region], addr) {
		return s.cfg.Region // whatever a server elsewhere says of itself
	}
	for region, addrs := range regions {
		if slices.Contains(addrs, addr) {
			return region
		}
	}
	return s.cfg.Region
}
