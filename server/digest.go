package server

import (
	"context"

	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

// StateDigest returns the digest of this server's state and how its comparisons with the leader's went.
func (s *Server) StateDigest() (structs.StateDigest, error) { return s.fsm.StateDigest() }

// checkDigests runs while this server leads: every fsm.DigestInterval log entries it lets all servers compare their
// states with its own. One check is on its way at a time; what is missed meanwhile is not made up for, since the
// next one covers it. A check that doesn't get through does no harm either.
func (s *Server) checkDigests(ctx context.Context) {
	var checked uint64
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.fsm.DigestReady():
		}
		p, ok := s.fsm.LatestDigest()
		if !ok || p.Index == checked || !s.fsm.State().FeatureOpen(structs.FeatureStateDigest) {
			continue
		}
		checked = p.Index
		sum := p.Digest()
		req := &structs.StateDigestCheck{
			Index: p.Index, Digest: sum[:], Version: state.DigestVersion, Base: p.Base,
			WriteRequest: structs.WriteRequest{Region: s.cfg.Region},
		}
		// A server of a version that has no such checks lets it pass.
		f, err := s.propose(structs.StateDigestCheckMsg|structs.IgnoreUnknownFlag, req)
		if err == nil {
			_, err = outcome(structs.StateDigestCheckMsg, f)
		}
		if err != nil {
			s.log.Debug("state digest check not made", "index", p.Index, "error", err)
		}
	}
}
