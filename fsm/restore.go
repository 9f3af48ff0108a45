package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/rollcall-id/rollcall/snapshot"
	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

// loader is a row of the restore table: it decodes a record's value and loads it.
type loader func(r *state.Restore, raw []byte) error

type loaderTable [numTypes]loader

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
	l[t] = func(r *state.Restore, raw []byte) error {
		v := new(R)
		if err := structs.Decode(raw, v); err != nil {
			return err
		}
		return load(r, v)
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
func (f *FSM) Restore(rc io.ReadCloser) error {
	defer func() { _ = rc.Close() }() // only read from
	if err := f.Err(); err != nil {
		return fmt.Errorf("restore: %w", err) // stopped means stopped
	}
	store, report, err := ReadState(rc)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	base, err := store.Base()
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	old := f.replace(store, base.ID, report.Index)
	f.restored.Store(report)
	old.Abandon()
	if f.events != nil {
		f.events.Reset(report.Index)
	}
	f.logRestore(report)
	if f.onRestore != nil {
		f.onRestore(*report)
	}
	return nil
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

// ReadState builds a state from a record stream (wire.md §7.2) and reports what was in it.
func ReadState(src io.Reader) (*state.Store, *RestoreReport, error) {
	store := state.New()
	r := store.Restore()
	defer r.Abort() // does nothing after Commit
	var loaded, opaque, dropped snapshot.Counts
	for in := snapshot.NewReader(src); ; {
		rec, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		switch load := loaders[rec.Type]; {
		case load != nil:
			err = load(r, rec.Raw)
			loaded.Add(rec.Type, len(rec.Raw))
		case discarded[rec.Type]:
			dropped.Add(rec.Type, len(rec.Raw))
		default:
			err = r.Opaque(structs.OpaqueRecord{Type: rec.Type, Data: bytes.Clone(rec.Raw)})
			opaque.Add(rec.Type, len(rec.Raw))
		}
		if err != nil {
			return nil, nil, rec.Fail(err)
		}
	}
	if err := r.Commit(); err != nil {
		return nil, nil, err
	}
	index, err := store.LatestIndex()
	if err != nil {
		return nil, nil, err
	}
	updated := r.Report()
	return store, &RestoreReport{
		Index: index, Records: loaded.List(), Opaque: opaque.List(), Discarded: dropped.List(),
		PoolsBackfilled: updated.PoolsBackfilled, SecretsConverted: updated.SecretsConverted,
	}, nil
}
