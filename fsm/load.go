package fsm

import (
	"errors"
	"fmt"
	"io"

	"github.com/rollcall-id/rollcall/snapshot"
	"github.com/rollcall-id/rollcall/state"
)

// Loaded is a state that was built from a record stream.
type Loaded struct {
	State  *state.Store
	Report *RestoreReport
	base   string
}

// Load builds a state from a record stream (wire.md §7.2) and reports what was in it.
func Load(src io.Reader) (*Loaded, error) {
	l := NewLoader()
	defer l.Abort()
	for in := snapshot.NewReader(src); ; {
		rec, err := in.Next()
		if errors.Is(err, io.EOF) {
			return l.Finish()
		}
		if err == nil {
			err = l.Record(rec)
		}
		if err != nil {
			return nil, l.first(err)
		}
	}
}

const (
	loadedTogether = 128 // records that are handed from one goroutine to the other at once
	waitingBatches = 4
)

// Loader builds a state from the records of a stream. It decodes them in the goroutine that calls it and loads them
// in another, which has ended when Finish or Abort returns. It is used by one goroutine; every Loader ends with Abort,
// which after Finish does nothing.
type Loader struct {
	store   *state.Store
	restore *state.Restore
	batch   []decodedRecord
	batches chan []decodedRecord // nil once it is closed
	done    chan struct{}        // closed when the other goroutine has ended
	err     error                // why it ended before its time; to be read after done

	loaded, opaque, dropped snapshot.Counts
}

// NewLoader returns a Loader that has loaded nothing.
func NewLoader() *Loader {
	store := state.New()
	l := &Loader{
		store: store, restore: store.Restore(), done: make(chan struct{}), batches: make(chan []decodedRecord, waitingBatches),
	}
	go l.run(l.batches)
	return l
}

func (l *Loader) run(batches <-chan []decodedRecord) {
	defer close(l.done)
	for batch := range batches {
		for _, rec := range batch {
			if l.err = rec.load(l.restore); l.err != nil {
				l.err = rec.Fail(l.err)
				return
			}
		}
	}
}

// Record decodes a record, which it does not keep, and has it loaded. An error names a record and its place: this one,
// or one before it that could not be loaded.
func (l *Loader) Record(rec snapshot.Record) error {
	l.count(rec)
	decoded, err := decodeRecord(rec)
	if err != nil {
		return l.first(err)
	}
	if l.batch = append(l.batch, decoded); len(l.batch) < loadedTogether {
		return nil
	}
	return l.send()
}

func (l *Loader) send() error {
	batch := l.batch
	l.batch = make([]decodedRecord, 0, loadedTogether)
	select {
	case l.batches <- batch:
		return nil
	case <-l.done:
		return l.err
	}
}

// wait hands on what is left and waits until everything is loaded.
func (l *Loader) wait() error {
	if l.batches != nil {
		_ = l.send() // an error is the one that is returned below
		close(l.batches)
		l.batches = nil
	}
	<-l.done
	return l.err
}

// first returns what was wrong with an earlier record, or err.
func (l *Loader) first(err error) error {
	if earlier := l.wait(); earlier != nil {
		return earlier
	}
	return err
}

// Finish returns the state.
func (l *Loader) Finish() (*Loaded, error) {
	if err := l.wait(); err != nil {
		return nil, err
	}
	if err := l.restore.Commit(); err != nil {
		return nil, err
	}
	index, err := l.store.LatestIndex()
	if err != nil {
		return nil, err
	}
	base, err := l.store.Base()
	if err != nil {
		return nil, fmt.Errorf("read what the state grew from: %w", err)
	}
	updated := l.restore.Report()
	return &Loaded{
		State: l.store, base: base.ID,
		Report: &RestoreReport{
			Index: index, Records: l.loaded.List(), Opaque: l.opaque.List(), Discarded: l.dropped.List(),
			PoolsBackfilled: updated.PoolsBackfilled, SecretsConverted: updated.SecretsConverted,
		},
	}, nil
}

// Abort lets go of everything.
func (l *Loader) Abort() {
	l.batch = nil
	_ = l.wait()
	l.restore.Abort()
}

func (l *Loader) count(rec snapshot.Record) {
	switch {
	case loaders[rec.Type] != nil:
		l.loaded.Add(rec.Type, len(rec.Raw))
	case discarded[rec.Type]:
		l.dropped.Add(rec.Type, len(rec.Raw))
	default:
		l.opaque.Add(rec.Type, len(rec.Raw))
	}
}
