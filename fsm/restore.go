package fsm

import (
	"bytes"
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/snapshot"
	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

// loader is a row of the restore table.
type loader struct {
	decode func(raw []byte) (any, error)           // gives a value that does not refer to raw
	load   func(r *state.Restore, value any) error // owns the value
}

type loaderTable [numTypes]*loader

// loaders is the restore table: record type to how it is loaded. Types that are neither in it nor in discarded are
// kept opaque.
var loaders = newLoaderTable()

func newLoaderTable() *loaderTable {
	l := &loaderTable{}
	l.registerNodes()
	l.registerNodePools()
	l.registerFeatures()
	l.registerKeys()
	l.registerCluster()
	l.registerNamespaces()
	l.registerACLPolicies()
	l.registerACLTokens()
	l.registerACLRoles()
	l.registerDigests()
	return l
}

// registerRecord gives t a meaning: the value is decoded as an R, which load owns.
func registerRecord[R any](l *loaderTable, t structs.RecordType, load func(r *state.Restore, v *R) error) {
	l[t] = &loader{
		decode: func(raw []byte) (any, error) {
			v := new(R)
			err := structs.Decode(raw, v)
			return v, err
		},
		load: func(r *state.Restore, v any) error { return load(r, v.(*R)) },
	}
}

// discarded are types that old versions wrote and no version has a use for.
var discarded = [numTypes]bool{
	structs.TimeTableRecord: true, structs.VaultAccessorRecord: true, structs.ServiceTokenRecord: true,
}

// RestoreReport says what a restore found. The counts are sorted by type; a record is in exactly one of them.
type RestoreReport struct {
	Index            uint64           // highest index of any table
	Records          []snapshot.Count // loaded
	Opaque           []snapshot.Count // kept as they came, to be written back
	Discarded        []snapshot.Count // of types that no version has a use for any more
	PoolsBackfilled  int              // node pools without an identity TTL, which got the default
	SecretsConverted int              // nodes and tokens that had a secret ID in clear, now its hash
}

// Restore replaces the state by the one in the stream, and closes rc. If it fails the old state is still there, and
// the error names record and offset.
//
// A source that has its state Loaded already, as the server has that verified an archive, gives it without being read,
// and one that is Deferred is loaded after Restore has returned: see Settle.
func (f *FSM) Restore(rc io.ReadCloser) error {
	defer func() { _ = rc.Close() }() // only read from
	if err := f.Err(); err != nil {
		return fmt.Errorf("restore: %w", err) // stopped means stopped
	}
	f.Settle()
	src := rc
	for {
		w, ok := src.(raft.ReadCloserWrapper)
		if !ok {
			break
		}
		src = w.WrappedReadCloser()
	}
	if s, ok := src.(LoadedSource); ok {
		if l := s.TakeLoaded(); l != nil {
			f.install(l)
			return nil
		}
	}
	if s, ok := src.(DeferredSource); ok {
		if later := s.Detach(); later != nil {
			f.loadBehind(later)
			return nil
		}
	}
	return f.load(rc)
}

// LoadedSource is a source of a state that this process has read before.
type LoadedSource interface {
	// TakeLoaded hands the state over, once; nil if there is none.
	TakeLoaded() *Loaded
}

func (f *FSM) load(src io.Reader) error {
	l, err := Load(src)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	f.install(l)
	return nil
}

// install puts the loaded state in the place of the present one.
func (f *FSM) install(l *Loaded) {
	old := f.replace(l.State, l.base, l.Report.Index)
	f.restored.Store(l.Report)
	old.Abandon()
	if f.events != nil {
		f.events.Reset(l.Report.Index)
	}
	f.logRestore(l.Report)
	if f.onRestore != nil {
		f.onRestore(*l.Report)
	}
}

// LastRestore returns the report of the latest restore, or nil if there was none.
func (f *FSM) LastRestore() *RestoreReport { return f.restored.Load() }

func (f *FSM) logRestore(r *RestoreReport) {
	f.logger.Info("restored state from a snapshot", "index", r.Index, "records", total(r.Records), "opaque", total(r.Opaque),
		"discarded", total(r.Discarded), "pools_backfilled", r.PoolsBackfilled, "secrets_converted", r.SecretsConverted)
	for _, c := range r.Opaque {
		if c.Type.Known() {
			f.logger.Info("kept snapshot records that have no effect here", "type", c.Type.String(), "records", c.Records)
		} else {
			f.logger.Warn("kept snapshot records of an unknown type, from a newer version?", "type", uint8(c.Type), "records", c.Records)
		}
	}
	for _, c := range r.Discarded {
		f.logger.Info("discarded snapshot records of an obsolete type", "type", c.Type.String(), "records", c.Records)
	}
}

func total(counts []snapshot.Count) (n uint64) {
	for _, c := range counts {
		n += c.Records
	}
	return n
}

// ReadState is Load for who wants the parts.
func ReadState(src io.Reader) (*state.Store, *RestoreReport, error) {
	l, err := Load(src)
	if err != nil {
		return nil, nil, err
	}
	return l.State, l.Report, nil
}

// decodedRecord is a record that waits to be loaded. Raw is only set where it is what will be kept.
type decodedRecord struct {
	snapshot.Record
	value any
}

// decodeRecord decodes a record of any type; what comes out does not refer to rec.Raw.
func decodeRecord(rec snapshot.Record) (decodedRecord, error) {
	d := decodedRecord{Record: rec}
	d.Raw = nil
	switch l := loaders[rec.Type]; {
	case l != nil:
		var err error
		if d.value, err = l.decode(rec.Raw); err != nil {
			return d, rec.Fail(err)
		}
	case !discarded[rec.Type]:
		d.Raw = bytes.Clone(rec.Raw)
	}
	return d, nil
}

func (d decodedRecord) load(r *state.Restore) error {
	switch l := loaders[d.Type]; {
	case l != nil:
		return l.load(r, d.value)
	case !discarded[d.Type]:
		return r.Opaque(structs.OpaqueRecord{Type: d.Type, Data: d.Raw})
	}
	return nil
}
