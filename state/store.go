package state

import (
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/structs"
)

// firstIndex is the log index at which the built-in records of a new state count as written.
const firstIndex = 1

// Store is one server's copy of the data. It is safe for concurrent use: any number of readers, one writer at a
// time.
type Store struct {
	view
	nodes    atomic.Int64
	commit   sync.Mutex   // held while a transaction becomes visible, so that state and sum are read together
	digested digested     // the committed state; guarded by commit
	folding  bool         // a goroutine runs fold; guarded by commit
	hasher   hasher       // the writer's
	scratch  []nodeChange // the writer's, for the next transaction
	abandon  chan struct{}
	abandons sync.Once
	features sync.Map // names of gates that have been found open: none closes

	undigested bool // leaves the digest as it is, to measure what it costs
}

// view holds the read methods that Store and Snapshot have in common.
type view struct {
	db *memdb.MemDB
}

// read starts a read of the committed state. It needs no end.
func (v view) read() *memdb.Txn { return v.db.Txn(false) }

// Snapshot is the state as it was at one moment. It is safe for concurrent use and never changes.
type Snapshot struct {
	view
	digested digested
}

// New returns a state as a cluster starts with: the built-in node pools and the default namespace.
func New() *Store {
	db, err := memdb.NewMemDB(schema())
	if err != nil {
		panic(fmt.Sprintf("state: schema: %v", err)) // the schema is constant
	}
	s := &Store{view: view{db: db}, abandon: make(chan struct{})}
	t := s.WriteTxn()
	defer t.Commit()
	if err := t.writeBuiltins(); err != nil {
		panic(fmt.Sprintf("state: built-in records: %v", err)) // they are constant too
	}
	return s
}

func (t *Txn) writeBuiltins() error {
	for _, p := range structs.BuiltinNodePools() {
		if err := t.insert(TableNodePools, p); err != nil {
			return err
		}
	}
	ns := &structs.Namespace{
		Name: structs.DefaultNamespace, Description: "Default shared namespace",
		CreateIndex: firstIndex, ModifyIndex: firstIndex,
	}
	if err := t.insert(TableNamespaces, ns); err != nil {
		return err
	}
	return t.touch(firstIndex, TableNodePools, TableNamespaces)
}

// Abandon tells whoever waits for a change of this store that none will come, since another store has taken its
// place. It may be called more than once.
func (s *Store) Abandon() { s.abandons.Do(func() { close(s.abandon) }) }

// AbandonCh is closed by Abandon.
func (s *Store) AbandonCh() <-chan struct{} { return s.abandon }

// Snapshot returns the committed state of this moment. It costs next to nothing; what it refers to stays in
// memory as long as it does.
func (s *Store) Snapshot() *Snapshot {
	s.commit.Lock()
	defer s.commit.Unlock()
	return &Snapshot{view{db: s.db.Snapshot()}, s.digested.clip()}
}

// NodeCount returns how many nodes there are, without counting them.
func (s *Store) NodeCount() int { return int(s.nodes.Load()) }

// Txn collects the writes of one or more commands. Nothing of it is visible before Commit. It is for one
// goroutine; while it is open WriteTxn and Restore wait.
type Txn struct {
	store *Store
	txn   *memdb.Txn
	// base is what was committed when the transaction began and dirty the nodes that it has written since, nil
	// where it has deleted one. Reading a table that the transaction has written would make memdb forget which
	// parts of its tree are already copies, and copy them again for every command of a batch.
	base  *memdb.Txn
	dirty map[string]*nodeRow    // nil in a Restore
	sets  map[nodeSetAt]*nodeSet // which the transaction has copied
	added int                    // nodes

	delta   digestSum // what the transaction adds to the digest, apart from changes and touched
	changes []nodeChange
	touched []touchedIndex
	ended   bool

	room   int // see CollectEvents
	events []structs.Event
}

// WriteTxn starts a transaction, waiting for the one before it to end. Every transaction ends with Commit or
// Abort.
func (s *Store) WriteTxn() *Txn {
	txn := s.db.Txn(true) // takes the writer's lock, so that base is what txn starts from
	return &Txn{store: s, txn: txn, base: s.db.Txn(false), dirty: map[string]*nodeRow{}, changes: s.scratch[:0]}
}

// Commit makes the writes visible and wakes who watches what they changed. After Commit or Abort it does nothing.
func (t *Txn) Commit() {
	if t.ended {
		return
	}
	t.ended = true
	delta := t.written() // with the hasher, which is the next writer's once memdb has committed
	s := t.store
	s.commit.Lock()
	defer s.commit.Unlock()
	s.digested.add(digested{delta, t.changes})
	t.release()
	s.nodes.Add(int64(t.added))
	t.txn.Commit()
	if len(s.digested.changes) >= foldAt && !s.folding {
		s.folding = true
		go s.fold()
	}
}

// Abort drops the writes. After Commit or Abort it does nothing.
func (t *Txn) Abort() {
	if t.ended {
		return
	}
	t.ended = true
	t.release()
	t.txn.Abort()
}

// maxScratch is how many changes there is room for between transactions.
const maxScratch = 4096

// release leaves the room for changes to the next transaction, with nothing in it.
func (t *Txn) release() {
	clear(t.changes)
	if cap(t.changes) <= maxScratch {
		t.store.scratch = t.changes[:0]
	}
	t.changes = nil
}

// insert puts a row in place of the one with its key. It fails only for a row that the schema does not fit.
func (t *Txn) insert(table string, row any) error {
	if err := t.account(table, row, true); err != nil {
		return err
	}
	if err := t.txn.Insert(table, row); err != nil {
		return fmt.Errorf("write table %s: %w", table, err)
	}
	return nil
}

// remove deletes a row that is there.
func (t *Txn) remove(table string, row any) error {
	if err := t.account(table, row, false); err != nil {
		return err
	}
	if err := t.txn.Delete(table, row); err != nil {
		return fmt.Errorf("delete from table %s: %w", table, err)
	}
	return nil
}

// get returns the row of the key, or nil.
func get[T any](txn *memdb.Txn, ws memdb.WatchSet, table, key string) (*T, error) {
	ch, raw, err := txn.FirstWatch(table, byID, key)
	if err != nil {
		return nil, fmt.Errorf("read table %s: %w", table, err)
	}
	ws.Add(ch)
	row, _ := raw.(*T)
	return row, nil
}

// list returns the rows whose keys start with prefix, ordered by key. The sequence may be ranged over more than
// once and shows the same rows each time.
func list[T any](txn *memdb.Txn, ws memdb.WatchSet, table, prefix string) (iter.Seq[*T], error) {
	it, err := txn.Get(table, byIDPrefix, prefix)
	if err != nil {
		return nil, fmt.Errorf("read table %s: %w", table, err)
	}
	ws.Add(it.WatchCh())
	return func(yield func(*T) bool) {
		rows, err := txn.Get(table, byIDPrefix, prefix)
		if err != nil {
			return // it was right a moment ago and nothing has changed
		}
		for raw := rows.Next(); raw != nil; raw = rows.Next() {
			if !yield(raw.(*T)) {
				return
			}
		}
	}, nil
}
