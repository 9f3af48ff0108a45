package state

import (
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/rollcall-id/rollcall/structs"
)

// nodeID and keyID return a UUID that is easy to read in a failure.
func nodeID(i int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(i)*2654435761, i) }
func keyID(i int) string  { return fmt.Sprintf("00000000-aaaa-4000-8000-%012x", i) }
func secret(i int) string { return fmt.Sprintf("00000000-5ec2-4000-8000-%012x", i) }

func newNode(i int) *structs.Node {
	return &structs.Node{
		ID: nodeID(i), SecretID: secret(i), Name: fmt.Sprintf("node-%d", i), Datacenter: "dc1",
		Status: structs.NodeStatusInit, StatusUpdatedAt: 1000, Attributes: structs.NewStringMap(map[string]string{"os.name": "linux"}),
	}
}

func newKey(i int, state structs.KeyState) *structs.RootKey {
	return &structs.RootKey{
		KeyID: keyID(i), Algorithm: structs.EncryptionAlgorithmAES256GCM, State: state, CreateTime: int64(i),
		SigningAlgorithm: structs.AlgES256, WrappedKeys: []*structs.WrappedKey{{Provider: "aead", KeyEncryptionKey: []byte{1}}},
	}
}

// apply runs one command in a transaction of its own, and commits it whether it fails or not: a command that
// fails must have written nothing.
func apply(s *Store, command func(*Txn) error) error {
	t := s.WriteTxn()
	defer t.Commit()
	return command(t)
}

// must applies commands that are not to fail.
func must(t testing.TB, s *Store, commands ...func(*Txn) error) {
	t.Helper()
	for _, c := range commands {
		if err := apply(s, c); err != nil {
			t.Fatal(err)
		}
	}
}

func register(index uint64, n *structs.Node) func(*Txn) error {
	return func(t *Txn) error { return t.UpsertNode(index, &structs.NodeRegisterRequest{Node: n}) }
}

func putKey(index uint64, k *structs.RootKey) func(*Txn) error {
	return func(t *Txn) error { return t.UpsertRootKey(index, k, false) }
}

func putPool(index uint64, p *structs.NodePool) func(*Txn) error {
	return func(t *Txn) error { return t.UpsertNodePools(index, []*structs.NodePool{p}) }
}

// testing.TB plus what rapid has of it.
type failer interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// digest returns the digest, which must be the one that is computed anew.
func digest(t failer, v interface {
	Digest() ([32]byte, error)
	RecomputeDigest() ([32]byte, error)
}) [32]byte {
	t.Helper()
	d, err := v.Digest()
	if err != nil {
		t.Fatal(err)
	}
	again, err := v.RecomputeDigest()
	if err != nil {
		t.Fatal(err)
	}
	if again != d {
		t.Fatalf("the digest is %x, computed anew it is %x", d, again)
	}
	return d
}

// value unwraps a read that is not to fail.
func value[T any](t failer) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// all collects a list read that is not to fail.
func all[T any](t failer) func(iter.Seq[T], error) []T {
	return func(seq iter.Seq[T], err error) []T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return slices.Collect(seq)
	}
}

func ids(nodes []*structs.Node) []string {
	var out []string
	for _, n := range nodes {
		out = append(out, n.ID)
	}
	return out
}

// encoded returns v's canonical bytes.
func encoded(t failer, v any) []byte {
	t.Helper()
	var b []byte
	if err := codec.NewEncoderBytes(&b, structs.CanonicalHandle).Encode(v); err != nil {
		t.Fatal(err)
	}
	return b
}

// unchanged fails if the command returns no error, or changes anything while it returns one.
func unchanged(t testing.TB, s *Store, command func(*Txn) error) error {
	t.Helper()
	before := digest(t, s)
	err := apply(s, command)
	if err == nil {
		t.Fatal("the command returned no error")
	}
	if digest(t, s) != before {
		t.Errorf("the command changed the state although it returned: %v", err)
	}
	return err
}
