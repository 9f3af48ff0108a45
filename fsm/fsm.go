package fsm

import (
	"fmt"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

// Config is what an FSM is made with. The zero value is complete.
type Config struct {
	Logger hclog.Logger // nil logs nothing

	// OnFatal is called once, on Raft's goroutine, when the log holds an entry that this version can't apply. It
	// has to make the server stop and must not wait for Raft. The error is a *LogError. It is also called when the
	// leader's digest of the state is not the one here; the error then wraps ErrDigestMismatch, too.
	OnFatal func(error)

	// IgnoreDigestChecks logs a digest that is not the leader's and goes on: the way out when the leader's was the
	// wrong one, and for tools that look at a log.
	IgnoreDigestChecks bool

	// OnRestore is called after each restore, on the goroutine that loads the state, when State already returns the new state:
	// whatever was derived from the old one has to be made anew. It must not wait for Raft.
	OnRestore func(RestoreReport)

	// Events is told what commands change; nil if nobody wants to know.
	Events Publisher
}

// Publisher takes what has changed. It is called on Raft's goroutine and must not wait for anything.
type Publisher interface {
	// Publish is called when a batch of entries is visible, with the index of the first of them and what they have
	// changed, in the order of their indexes. The events are the publisher's.
	Publish(first uint64, events []structs.Event)
	// Reset is called when another state is in the place of the one whose changes were published. index is the
	// highest of any of its tables; how far in the log it reaches, the next Publish tells.
	Reset(index uint64)
}

// FSM applies the Raft log. Apply, ApplyBatch, Snapshot and Restore are for one goroutine, as Raft calls them;
// everything else is safe for concurrent use.
type FSM struct {
	logger    hclog.Logger
	onFatal   func(error)
	onRestore func(RestoreReport)
	events    Publisher
	tolerant  bool // see Config.IgnoreDigestChecks

	store    atomic.Pointer[state.Store]
	fatal    atomic.Pointer[LogError]
	restored atomic.Pointer[RestoreReport]
	skipped  [numTypes]atomic.Uint64
	digests  digests
	behind   behind
}

var (
	_ raft.FSM         = (*FSM)(nil)
	_ raft.BatchingFSM = (*FSM)(nil)
)

// New returns an FSM over the state that a new cluster starts with.
func New(cfg Config) *FSM {
	f := &FSM{logger: cfg.Logger, onFatal: cfg.OnFatal, onRestore: cfg.OnRestore, events: cfg.Events, tolerant: cfg.IgnoreDigestChecks}
	f.digests.known, f.digests.ready = true, make(chan struct{}, 1)
	if f.logger == nil {
		f.logger = hclog.NewNullLogger()
	}
	f.store.Store(state.New())
	return f
}

// State returns the current state. A restore replaces it: take it anew for every request, and once its AbandonCh
// is closed.
func (f *FSM) State() *state.Store { return f.store.Load() }

// Err returns why the FSM applies nothing any more, a *LogError, or nil.
func (f *FSM) Err() error {
	if e := f.fatal.Load(); e != nil {
		return e
	}
	return nil
}

// Apply applies one entry and returns its result, see ApplyBatch.
func (f *FSM) Apply(entry *raft.Log) any { return f.ApplyBatch([]*raft.Log{entry})[0] }

// ApplyBatch applies entries in one transaction and returns their results in the same places: nil, an error, or
// what the command answers (see dispatch.go). Entries that are no commands get nil.
//
// While a received snapshot is loaded, entries wait for it and all results are nil. Only a follower receives one, where
// nobody asks for results.
func (f *FSM) ApplyBatch(entries []*raft.Log) []any {
	if f.behind.add(entries) {
		return make([]any, len(entries))
	}
	return f.applyBatch(entries)
}

func (f *FSM) applyBatch(entries []*raft.Log) []any {
	results := make([]any, len(entries))
	if err := f.Err(); err != nil {
		return fill(results, err)
	}
	txn := f.State().WriteTxn()
	defer txn.Abort() // does nothing after Commit
	if f.events != nil {
		txn.CollectEvents(len(entries))
		defer func() { f.events.Publish(entries[0].Index, txn.Events()) }() // also of what came before a fatal entry
	}
	for i, entry := range entries {
		f.digests.before(txn, entry.Index)
		result, err := f.applyEntry(txn, entry)
		if err != nil {
			f.digests.commit(txn) // what came before the entry is valid, and its results are about to be given out
			f.stop(err)
			fill(results[i:], err)
			return results
		}
		results[i] = result
		f.digests.after(txn, entry.Index)
	}
	f.digests.commit(txn)
	return results
}

// applyEntry returns a command's result, or an error that stops the FSM: nobody can tell what the entry means, or it
// says that the state is not what it should be.
func (f *FSM) applyEntry(txn *state.Txn, entry *raft.Log) (any, *LogError) {
	if entry.Type != raft.LogCommand {
		return nil, nil
	}
	if len(entry.Data) == 0 {
		return nil, &LogError{Index: entry.Index, Err: ErrDamagedEntry}
	}
	t := structs.MessageType(entry.Data[0])
	ignorable := t&structs.IgnoreUnknownFlag != 0
	t &^= structs.IgnoreUnknownFlag
	cmd := commands[t]
	if cmd.apply == nil {
		if !t.Known() && !ignorable {
			return nil, &LogError{Index: entry.Index, Type: t, Err: ErrUnknownEntry}
		}
		f.skip(t, entry.Index)
		return nil, nil
	}
	result, err := cmd.apply(txn, entry.Index, entry.Data[1:])
	if err != nil {
		return nil, &LogError{Index: entry.Index, Type: t, Err: fmt.Errorf("%w: %w", ErrDamagedEntry, err)}
	}
	if check, ok := result.(*structs.StateDigestCheck); ok {
		return nil, f.checkDigest(entry.Index, check)
	}
	if cmd.partial {
		f.skip(t, entry.Index)
	}
	return result, nil
}

func fill(results []any, err error) []any {
	for i := range results {
		results[i] = err
	}
	return results
}

// stop makes err the answer to everything from now on.
func (f *FSM) stop(err *LogError) {
	f.fatal.Store(err)
	if f.onFatal != nil {
		f.onFatal(err)
		return
	}
	f.logger.Error("the Raft log can't be applied any further", "error", err)
}

// Snapshot returns the state of this moment, to be persisted while applying goes on.
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) {
	if err := f.Err(); err != nil {
		return nil, fmt.Errorf("take a snapshot: %w", err) // it would claim entries that were not applied
	}
	if f.behind.busy() {
		return nil, fmt.Errorf("take a snapshot: %w", errLoading)
	}
	return &persister{state: f.State().Snapshot(), logger: f.logger}, nil
}
