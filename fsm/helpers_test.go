package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

// uuid returns an ID that is told apart by its first and last digits.
func uuid(n int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", n, n) }

// entry returns a log entry with real bytes.
func entry(tb testing.TB, index uint64, t structs.MessageType, msg any) *raft.Log {
	tb.Helper()
	data, err := structs.Encode(t, msg)
	if err != nil {
		tb.Fatal(err)
	}
	return &raft.Log{Index: index, Term: 1, Type: raft.LogCommand, Data: data}
}

func rawEntry(index uint64, data ...byte) *raft.Log {
	return &raft.Log{Index: index, Term: 1, Type: raft.LogCommand, Data: data}
}

// apply applies one command, which must answer nil.
func apply(tb testing.TB, f *FSM, index uint64, t structs.MessageType, msg any) {
	tb.Helper()
	if res := f.Apply(entry(tb, index, t, msg)); res != nil {
		tb.Fatalf("%s at %d: %v", t, index, res)
	}
}

// applyErr applies one command, which must answer the wanted error and change nothing.
func applyErr(tb testing.TB, f *FSM, index uint64, t structs.MessageType, msg any, want error) {
	tb.Helper()
	before := digest(tb, f)
	err, _ := f.Apply(entry(tb, index, t, msg)).(error)
	if err == nil || want != nil && !errors.Is(err, want) {
		tb.Errorf("%s at %d: got %v, want %v", t, index, err, want)
	}
	if digest(tb, f) != before {
		tb.Errorf("%s at %d failed and changed the state", t, index)
	}
	if f.Err() != nil {
		tb.Fatal(f.Err())
	}
}

func digest(tb testing.TB, f *FSM) [32]byte {
	tb.Helper()
	d, err := f.State().Digest()
	if err != nil {
		tb.Fatal(err)
	}
	if again, err := f.State().RecomputeDigest(); err != nil || again != d {
		tb.Fatalf("the digest is %x, computed anew it is %x, %v", d, again, err)
	}
	return d
}

// node returns the node, which must exist.
func node(tb testing.TB, f *FSM, id string) *structs.Node {
	tb.Helper()
	n, err := f.State().NodeByID(nil, id)
	if err != nil || n == nil {
		tb.Fatalf("node %s: %v, %v", id, n, err)
	}
	return n
}

func pool(tb testing.TB, f *FSM, name string) *structs.NodePool {
	tb.Helper()
	p, err := f.State().NodePoolByName(nil, name)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func rootKey(tb testing.TB, f *FSM, id string) *structs.RootKey {
	tb.Helper()
	k, err := f.State().RootKeyByID(nil, id)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// registration returns a registration as an agent's would arrive.
func registration(n int, attributes int) *structs.NodeRegisterRequest {
	attrs := map[string]string{}
	for i := range attributes {
		attrs[fmt.Sprintf("attribute.number.%d", i)] = fmt.Sprintf("value of attribute %d", i)
	}
	return &structs.NodeRegisterRequest{Node: &structs.Node{
		ID: uuid(n), SecretID: uuid(1<<24 + n), Datacenter: "dc1", Name: fmt.Sprintf("host-%d", n), NodePool: "default",
		Attributes: structs.NewStringMap(attrs), Meta: structs.NewStringMap(map[string]string{"rack": "r1"}), Status: structs.NodeStatusInit,
		SchedulingEligibility: structs.NodeEligible, StatusUpdatedAt: 1_700_000_000,
	}}
}

// memorySink is a raft.SnapshotSink that remembers how it ended.
type memorySink struct {
	bytes.Buffer
	failAfter int // bytes until writes fail; 0 is never
	closed    bool
	canceled  bool
	closeErr  error
}

var errSink = errors.New("no space left on device")

func (s *memorySink) ID() string { return "2-96-1700000000000" }

func (s *memorySink) Write(p []byte) (int, error) {
	if s.failAfter > 0 && s.Len()+len(p) > s.failAfter {
		return 0, errSink
	}
	return s.Buffer.Write(p)
}

func (s *memorySink) Close() error  { s.closed = true; return s.closeErr }
func (s *memorySink) Cancel() error { s.canceled = true; return nil }

// persist takes a snapshot as Raft does and returns its bytes.
func persist(tb testing.TB, f *FSM) []byte {
	tb.Helper()
	snap, err := f.Snapshot()
	if err != nil {
		tb.Fatal(err)
	}
	defer snap.Release()
	sink := &memorySink{}
	if err := snap.Persist(sink); err != nil || !sink.closed || sink.canceled {
		tb.Fatalf("persist: %v, closed %v, canceled %v", err, sink.closed, sink.canceled)
	}
	return sink.Bytes()
}

func restore(tb testing.TB, f *FSM, stream []byte) {
	tb.Helper()
	if err := f.Restore(io.NopCloser(bytes.NewReader(stream))); err != nil {
		tb.Fatal(err)
	}
}

// sameState fails unless both hold the same, seen through the digest and the snapshot bytes.
func sameState(tb testing.TB, what string, a, b *FSM) {
	tb.Helper()
	if digest(tb, a) != digest(tb, b) {
		tb.Errorf("%s: digests differ", what)
	}
	if !bytes.Equal(persist(tb, a), persist(tb, b)) {
		tb.Errorf("%s: snapshots differ", what)
	}
}

func collect[T any](tb testing.TB, seq func(func(T) bool), err error) (list []T) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
	seq(func(v T) bool { list = append(list, v); return true })
	return list
}

func nodes(tb testing.TB, s *state.Store) []*structs.Node {
	tb.Helper()
	seq, err := s.Nodes(nil)
	return collect(tb, seq, err)
}
