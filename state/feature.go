package state

import (
	"errors"
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/structs"
)

// FeatureGates returns the open gates, ordered by name. It watches the table.
func (v view) FeatureGates(ws memdb.WatchSet) (iter.Seq[*structs.FeatureGate], error) {
	return list[structs.FeatureGate](v.read(), ws, tableFeatureGates, "")
}

// FeatureOpen reports whether the feature is in use. For one that is, it takes no more than looking into a map, so
// that it can be asked at every request.
func (s *Store) FeatureOpen(name string) bool {
	if _, open := s.features.Load(name); open {
		return true
	}
	g, err := get[structs.FeatureGate](s.read(), nil, tableFeatureGates, name)
	if err != nil || g == nil { // the schema has the table: only absence is possible
		return false
	}
	s.features.Store(name, nil)
	return true
}

// OpenFeatures opens all of the gates, or none (message type 101). A gate that is open already stays so and takes
// what the request asks of servers. Nothing closes a gate.
func (t *Txn) OpenFeatures(gates []*structs.FeatureGate) error {
	if len(gates) == 0 {
		return errors.New("open feature gates: request names none")
	}
	for _, g := range gates {
		if g == nil || g.Name == "" {
			return errors.New("open feature gates: a gate is missing or has no name")
		}
	}
	for _, g := range gates {
		if err := t.insert(tableFeatureGates, g.Copy()); err != nil {
			return err
		}
	}
	return nil
}

// FeatureGate loads an open gate.
func (r *Restore) FeatureGate(g *structs.FeatureGate) error {
	if g == nil || g.Name == "" {
		return errors.New("restore feature gate: record has no name")
	}
	return r.t.insert(tableFeatureGates, g)
}
