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

// ReadState builds a state from a record stream (wire.md §7.2) and reports what was in it. Records are decoded in a
// goroutine of their own, ahead of those that are being loaded; it has ended when ReadState returns.
func ReadState(src io.Reader) (*state.Store, *RestoreReport, error) {
	store := state.New()
	r := store.Restore()
	defer r.Abort() // does nothing after Commit
	ahead := decodeAhead(src)
	defer ahead.end()
	for batch := range ahead.batches {
		for _, rec := range batch {
			if err := rec.load(r); err != nil {
				return nil, nil, rec.Fail(err)
			}
		}
	}
	if ahead.err != nil {
		return nil, nil, ahead.err
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
		Index: index, Records: ahead.loaded.List(), Opaque: ahead.opaque.List(), Discarded: ahead.dropped.List(),
		PoolsBackfilled: updated.PoolsBackfilled, SecretsConverted: updated.SecretsConverted,
	}, nil
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

const (
	decodedTogether = 128 // records in a batch
	decodedBatches  = 4   // batches that wait
)

// decoder reads and decodes a stream in the background.
type decoder struct {
	batches chan []decodedRecord // closed at the end of the stream, or when err stopped it
	stop    chan struct{}

	// To be read once batches is closed.
	err                     error
	loaded, opaque, dropped snapshot.Counts
}

func decodeAhead(src io.Reader) *decoder {
	d := &decoder{batches: make(chan []decodedRecord, decodedBatches), stop: make(chan struct{})}
	go func() {
		defer close(d.batches)
		d.err = d.run(src)
	}()
	return d
}

// end stops the decoder and waits for it.
func (d *decoder) end() {
	close(d.stop)
	for range d.batches {
	}
}

func (d *decoder) run(src io.Reader) error {
	batch := make([]decodedRecord, 0, decodedTogether)
	send := func() bool {
		select {
		case <-d.stop:
			return false
		case d.batches <- batch:
			batch = make([]decodedRecord, 0, decodedTogether)
			return true
		}
	}
	for in := snapshot.NewReader(src); ; {
		rec, err := in.Next()
		var decoded decodedRecord
		if err == nil {
			d.count(rec)
			decoded, err = decodeRecord(rec)
		}
		if err != nil {
			send() // what is wrong with a record before this one goes first
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if batch = append(batch, decoded); len(batch) == decodedTogether && !send() {
			return nil
		}
	}
}

func (d *decoder) count(rec snapshot.Record) {
	switch {
	case loaders[rec.Type] != nil:
		d.loaded.Add(rec.Type, len(rec.Raw))
	case discarded[rec.Type]:
		d.dropped.Add(rec.Type, len(rec.Raw))
	default:
		d.opaque.Add(rec.Type, len(rec.Raw))
	}
}
