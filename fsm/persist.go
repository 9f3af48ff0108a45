package fsm

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/snapshot"
	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

// persister writes the state that it was made with, whatever is applied meanwhile.
type persister struct {
	state  *state.Snapshot
	logger hclog.Logger
}

var _ raft.FSMSnapshot = (*persister)(nil)

// Persist writes the whole stream and closes the sink, or cancels it.
func (p *persister) Persist(sink raft.SnapshotSink) error {
	counts, err := WriteState(sink, p.state)
	if err != nil {
		return errors.Join(fmt.Errorf("persist snapshot %s: %w", sink.ID(), err), sink.Cancel())
	}
	p.logger.Debug("wrote snapshot", "id", sink.ID(), "records", total(counts))
	if err := sink.Close(); err != nil {
		return fmt.Errorf("close snapshot %s: %w", sink.ID(), err)
	}
	return nil
}

// Release does nothing: the garbage collector takes the view.
func (p *persister) Release() {}

// section is how the records of one type are written.
type section struct {
	t     structs.RecordType
	write func(w *snapshot.Writer, s *state.Snapshot) error
}

// sections are in the order in which they are written.
var sections = func() []section {
	list := []section{
		{structs.IndexRecord, func(w *snapshot.Writer, s *state.Snapshot) error {
			entries, err := s.Indexes()
			return writeAll(w, structs.IndexRecord, slices.Values(entries), err)
		}},
		{structs.NodeRecord, func(w *snapshot.Writer, s *state.Snapshot) error {
			nodes, err := s.Nodes(nil)
			return writeAll(w, structs.NodeRecord, nodes, err)
		}},
		{structs.NodePoolRecord, func(w *snapshot.Writer, s *state.Snapshot) error {
			pools, err := s.NodePools(nil)
			return writeAll(w, structs.NodePoolRecord, pools, err)
		}},
		{structs.FeatureGateRecord, func(w *snapshot.Writer, s *state.Snapshot) error {
			gates, err := s.FeatureGates(nil)
			return writeAll(w, structs.FeatureGateRecord, gates, err)
		}},
		{structs.ACLPolicyRecord, func(w *snapshot.Writer, s *state.Snapshot) error {
			policies, err := s.ACLPolicies(nil)
			return writeAll(w, structs.ACLPolicyRecord, policies, err)
		}},
		{structs.ACLTokenRecord, func(w *snapshot.Writer, s *state.Snapshot) error {
			tokens, err := s.ACLTokens(nil, "")
			return writeAll(w, structs.ACLTokenRecord, tokens, err)
		}},
		{structs.ACLRoleRecord, func(w *snapshot.Writer, s *state.Snapshot) error {
			roles, err := s.ACLRoles(nil)
			return writeAll(w, structs.ACLRoleRecord, roles, err)
		}},
		{structs.OneTimeTokenRecord, func(w *snapshot.Writer, s *state.Snapshot) error {
			tokens, err := s.OneTimeTokens(nil)
			return writeAll(w, structs.OneTimeTokenRecord, tokens, err)
		}},
		{structs.NamespaceRecord, func(w *snapshot.Writer, s *state.Snapshot) error {
			namespaces, err := s.Namespaces(nil)
			return writeAll(w, structs.NamespaceRecord, namespaces, err)
		}},
		{structs.SchedulerConfigRecord, func(w *snapshot.Writer, s *state.Snapshot) error {
			c, err := s.SchedulerConfig(nil)
			return writeOne(w, structs.SchedulerConfigRecord, c, err)
		}},
		{structs.ClusterMetadataRecord, func(w *snapshot.Writer, s *state.Snapshot) error {
			m, err := s.ClusterMetadata(nil)
			return writeOne(w, structs.ClusterMetadataRecord, m, err)
		}},
		{structs.RootKeyRecord, func(w *snapshot.Writer, s *state.Snapshot) error {
			keys, err := s.RootKeys(nil)
			return writeAll(w, structs.RootKeyRecord, keys, err)
		}},
		{structs.AutopilotConfigRecord, func(w *snapshot.Writer, s *state.Snapshot) error {
			c, err := s.AutopilotConfig(nil)
			return writeOne(w, structs.AutopilotConfigRecord, c, err)
		}},
		{structs.StateBaseRecord, func(w *snapshot.Writer, s *state.Snapshot) error {
			b, err := s.Base()
			return writeOne(w, structs.StateBaseRecord, &b, err)
		}},
		{structs.KeyUseRecord, func(w *snapshot.Writer, s *state.Snapshot) error {
			return writeAll(w, structs.KeyUseRecord, slices.Values(s.KeyUses()), nil)
		}},
	}
	slices.SortFunc(list, func(a, b section) int { return cmp.Compare(snapshot.Order(a.t), snapshot.Order(b.t)) })
	return list
}()

// WriteState writes s as a record stream (wire.md §7.2) and returns what is in it. Equal states give equal bytes.
func WriteState(dst io.Writer, s *state.Snapshot) ([]snapshot.Count, error) {
	w := snapshot.NewWriter(dst)
	opaque := slices.Clone(s.OpaqueRecords())
	slices.SortStableFunc(opaque, func(a, b structs.OpaqueRecord) int {
		return cmp.Compare(snapshot.Order(a.Type), snapshot.Order(b.Type))
	})
	for _, sec := range sections {
		before, _ := slices.BinarySearchFunc(opaque, sec.t, func(o structs.OpaqueRecord, t structs.RecordType) int {
			return cmp.Compare(snapshot.Order(o.Type), snapshot.Order(t))
		})
		if err := writeOpaque(w, opaque[:before]); err != nil {
			return nil, err
		}
		opaque = opaque[before:]
		if err := sec.write(w, s); err != nil {
			return nil, err
		}
	}
	if err := writeOpaque(w, opaque); err != nil {
		return nil, err
	}
	return w.Counts(), w.Flush()
}

func writeOpaque(w *snapshot.Writer, records []structs.OpaqueRecord) error {
	for _, o := range records {
		if err := w.WriteRaw(o.Type, o.Data); err != nil {
			return err
		}
	}
	return nil
}

func writeAll[T any](w *snapshot.Writer, t structs.RecordType, seq iter.Seq[T], err error) error {
	if err != nil {
		return fmt.Errorf("read %s records: %w", t, err)
	}
	for v := range seq {
		if err := w.WriteRecord(t, v); err != nil {
			return err
		}
	}
	return nil
}

// writeOne writes the record of which there is at most one.
func writeOne[T any](w *snapshot.Writer, t structs.RecordType, v *T, err error) error {
	if err != nil {
		return fmt.Errorf("read %s record: %w", t, err)
	}
	if v == nil {
		return nil
	}
	return w.WriteRecord(t, v)
}
