package replay

import (
	"fmt"
	"iter"
	"slices"

	"github.com/rollcall-id/rollcall/snapshot"
	"github.com/rollcall-id/rollcall/structs"
)

// View is a state for people and programs to read, without its secrets. Lists are sorted by ID or name.
type View struct {
	Index  uint64 // last log entry in it
	Term   uint64
	Digest string

	ConfigurationIndex uint64
	Configuration      []Server

	ClusterMetadata *structs.ClusterMetadata
	Autopilot       *structs.AutopilotConfig
	Scheduler       *structs.SchedulerConfiguration
	NodePools       []*structs.NodePool
	Namespaces      []*structs.Namespace
	RootKeys        []*structs.RootKeyMeta
	Indexes         []structs.IndexEntry
	Opaque          []Count // records that are only kept
	Nodes           []*structs.Node
}

// View returns the state at the end.
func (r *Result) View() (*View, error) {
	v := &View{Index: r.LastIndex, Term: r.LastTerm, Digest: r.Digest, ConfigurationIndex: r.ConfigurationIndex, Configuration: r.Configuration}
	if err := r.fill(v); err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	return v, nil
}

func (r *Result) fill(v *View) (err error) {
	s := r.state
	if v.ClusterMetadata, err = s.ClusterMetadata(nil); err != nil {
		return err
	}
	if v.Autopilot, err = s.AutopilotConfig(nil); err != nil {
		return err
	}
	if v.Scheduler, err = s.SchedulerConfig(nil); err != nil {
		return err
	}
	if v.Indexes, err = s.Indexes(); err != nil {
		return err
	}
	pools, err := s.NodePools(nil)
	if v.NodePools, err = all(pools, err); err != nil {
		return err
	}
	namespaces, err := s.Namespaces(nil)
	if v.Namespaces, err = all(namespaces, err); err != nil {
		return err
	}
	keys, err := s.RootKeys(nil)
	if err != nil {
		return err
	}
	v.RootKeys = []*structs.RootKeyMeta{}
	for k := range keys {
		v.RootKeys = append(v.RootKeys, k.Meta())
	}
	var opaque snapshot.Counts
	for _, o := range s.OpaqueRecords() {
		opaque.Add(o.Type, len(o.Data))
	}
	v.Opaque = recordCounts(opaque.List())
	nodes, err := s.Nodes(nil)
	if err != nil {
		return err
	}
	v.Nodes = make([]*structs.Node, 0, s.NodeCount())
	for n := range nodes {
		v.Nodes = append(v.Nodes, n.Sanitized())
	}
	return nil
}

func all[T any](seq iter.Seq[T], err error) ([]T, error) {
	if err != nil {
		return nil, err
	}
	return slices.AppendSeq([]T{}, seq), nil
}
