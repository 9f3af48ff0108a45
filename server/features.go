package server

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/go-version"

	"github.com/rollcall-id/rollcall/rpc"
	"github.com/rollcall-id/rollcall/structs"
)

// features are those that this version can use, with what they ask of every server of the region. Append-only: a
// gate that is open somewhere stays so.
var features = []*structs.FeatureGate{
	{Name: structs.FeatureNodeIdentity, MinBuild: "1.11.0"},
	{Name: structs.FeatureStateDigest, MinVersion: "0.1.0"},
}

// membership is the gossip pool as endpoints see it, together with what the cluster has agreed on.
type membership struct {
	*gossip
	s *Server
}

var _ rpc.Cluster = membership{}

// CanMint reports whether nodes get identities: the gate says so, whoever is in the pool now.
func (m membership) CanMint() bool {
	return m.s.fsm.State().FeatureOpen(structs.FeatureNodeIdentity)
}

// knows returns nil if the server meets what the gate asks for, else what it lacks. A pre-release of what is asked
// for is enough.
func (p *peer) knows(g *structs.FeatureGate) error {
	check := func(what, least string, have *version.Version) error {
		if least == "" {
			return nil
		}
		want, err := version.NewVersion(least)
		switch {
		case err != nil:
			return fmt.Errorf("feature %s asks server %s for %s %q, which this version can't read: %w", g.Name, p.Name, what, least, err)
		case have == nil:
			return fmt.Errorf("server %s does not say its %s; feature %s asks for %s or later", p.Name, what, g.Name, want)
		case have.LessThan(want) && !have.Core().Equal(want):
			return fmt.Errorf("server %s has %s %s; feature %s asks for %s or later", p.Name, what, have, g.Name, want)
		}
		return nil
	}
	return errors.Join(check("build", g.MinBuild, p.Build), check("Rollcall version", g.MinVersion, p.Version))
}

// blocked returns why the feature can't be used yet, nil if every server knows it: those in the gossip pool, alive
// or failed, and those that Raft has, of which the pool may not have heard yet.
func (s *Server) blocked(g *structs.FeatureGate) error {
	f := s.raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return fmt.Errorf("read Raft configuration: %w", err)
	}
	var errs []error
	for _, srv := range f.Configuration().Servers {
		if s.gossip.byID(string(srv.ID)) == nil {
			errs = append(errs, fmt.Errorf("server %s at %s is part of Raft and not in the gossip pool yet", srv.ID, srv.Address))
		}
	}
	return errors.Join(append(errs, s.gossip.current.Load().know(g))...)
}

// know returns what the servers of the region lack that the gate asks for, nil if they know the feature.
func (m *members) know(g *structs.FeatureGate) error {
	var errs []error
	for _, p := range m.peers {
		errs = append(errs, p.knows(g))
	}
	return errors.Join(errs...)
}

// openFeatures opens the gates of features that all servers know by now. Gates that are open are written again
// along with them, for servers that skipped their entries when they were older.
func (s *Server) openFeatures() error {
	st := s.fsm.State()
	open, err := st.FeatureGates(nil)
	if err != nil {
		return fmt.Errorf("read feature gates: %w", err)
	}
	req := &structs.FeatureGateRequest{Gates: slices.Collect(open), WriteRequest: structs.WriteRequest{Region: s.cfg.Region}}
	var names []string
	for _, g := range features {
		if st.FeatureOpen(g.Name) {
			continue
		}
		if why := s.blocked(g); why != nil {
			s.log.Info("feature not in use yet", "feature", g.Name, "reason", why)
			continue
		}
		req.Gates, names = append(req.Gates, g), append(names, g.Name)
	}
	if len(names) == 0 {
		return nil
	}
	f, err := s.propose(structs.FeatureGateMsg|structs.IgnoreUnknownFlag, req)
	if err == nil {
		_, err = outcome(structs.FeatureGateMsg, f)
	}
	if err != nil {
		return fmt.Errorf("open feature gates %s: %w", strings.Join(names, ", "), err)
	}
	s.log.Info("all servers know these features, which are in use from now on", "features", names)
	return nil
}

// admit returns nil if the server knows every feature that is in use.
func (s *Server) admit(p *peer) error {
	open, err := s.fsm.State().FeatureGates(nil)
	if err != nil {
		return fmt.Errorf("read feature gates: %w", err)
	}
	var errs []error
	for g := range open {
		errs = append(errs, p.knows(g))
	}
	return errors.Join(errs...)
}

// reconcileFeatures says which servers are too old for what is in use, and opens what can be opened.
func (s *Server) reconcileFeatures() error {
	for _, p := range s.gossip.current.Load().peers {
		if err := s.admit(p); err != nil {
			s.log.Error("a server is too old for features that are in use; upgrade it, or take it out of the cluster", "server", p.Name, "error", err)
		}
	}
	return s.openFeatures()
}

// openFeatureNames are the names of the features in use, for people.
func (s *Server) openFeatureNames() string {
	open, err := s.fsm.State().FeatureGates(nil)
	if err != nil {
		return ""
	}
	var names []string
	for g := range open {
		names = append(names, g.Name)
	}
	return strings.Join(names, ",")
}
