package snapshot

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/internal/leak"
	"github.com/rollcall-id/rollcall/structs"
)

func TestMain(m *testing.M) { leak.Main(m) }

var testMeta = Meta{
	Version: 1, ID: "2-96-1795295951419", Index: 96, Term: 2, Peers: []byte("\x91\xaf127.0.0.1:15647"),
	Configuration:      Configuration{Servers: []Server{{0, "e38d3b8d-c763-c7df-cfe7-664e0a1da6be", "127.0.0.1:15647"}}},
	ConfigurationIndex: 1,
}

type typed struct {
	t structs.RecordType
	v any // []byte is written as it is
}

// stateOf returns state.bin with the records.
func stateOf(tb testing.TB, records ...typed) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := NewWriter(&out)
	for _, r := range records {
		err := error(nil)
		if raw, ok := r.v.([]byte); ok {
			err = w.WriteRaw(r.t, raw)
		} else {
			err = w.WriteRecord(r.t, r.v)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func uuid(n int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", n*2654435761&0xffffffff, n) }

func testNode(n int) *structs.Node {
	return &structs.Node{
		ID: uuid(n), SecretHash: structs.HashSecret(uuid(-n - 1)), Name: fmt.Sprintf("node-%d", n), Datacenter: "dc1",
		Attributes: structs.NewStringMap(map[string]string{"os.name": "debian", "unique.n": fmt.Sprint(n)}), NodePool: "default",
		Status: structs.NodeStatusReady, IdentitySigningKeyID: uuid(1000), CreateIndex: uint64(n), ModifyIndex: uint64(n),
	}
}

func testKey(n int) *structs.RootKey {
	return &structs.RootKey{
		KeyID: uuid(n), Algorithm: structs.EncryptionAlgorithmAES256GCM, State: structs.KeyStateActive, SigningAlgorithm: structs.AlgES256,
		CreateTime: time.Unix(1795295951, 0).UnixNano(),
		WrappedKeys: []*structs.WrappedKey{{Provider: "aead", ProviderID: "aead.disk", KeyEncryptionKey: []byte("the-wrapping-key"),
			WrappedECKey: &structs.BlobInfo{Ciphertext: []byte("the-wrapped-material")}}},
	}
}

// smallState has a record of every kind.
func smallState(tb testing.TB) []byte {
	return stateOf(tb,
		typed{structs.IndexRecord, structs.IndexEntry{Key: "nodes", Value: 7}},
		typed{structs.NodeRecord, testNode(1)},
		typed{structs.NodePoolRecord, &structs.NodePool{Name: "default", NodeIdentityTTL: time.Hour}},
		typed{1, []byte("\x81\xa2ID\xd9\x03web")},
		typed{structs.RootKeyRecord, testKey(1000)},
		typed{90, []byte("\x07")},
		typed{structs.AutopilotConfigRecord, structs.DefaultAutopilotConfig()},
	)
}

// tinyState is for tests that try every bit of its archive.
func tinyState(tb testing.TB) []byte {
	return stateOf(tb, typed{structs.IndexRecord, structs.IndexEntry{Key: "nodes", Value: 7}}, typed{structs.NodePoolRecord, []byte("\x81\xa4Name\xa1p")})
}

func archiveOf(tb testing.TB, meta Meta, state []byte) []byte {
	tb.Helper()
	var out bytes.Buffer
	if _, err := Write(tb.Context(), &out, meta, From(bytes.NewReader(state)), WriteOptions{TempDir: tb.TempDir()}); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// verifyBytes verifies an archive and returns its state; the Verified is closed.
func verifyBytes(tb testing.TB, archive []byte, opts VerifyOptions) (*Verified, []byte, error) {
	tb.Helper()
	return verifyReader(tb, bytes.NewReader(archive), opts)
}

func verifyReader(tb testing.TB, r io.Reader, opts VerifyOptions) (*Verified, []byte, error) {
	tb.Helper()
	v, err := Verify(context.Background(), r, opts)
	if err != nil {
		if v != nil {
			tb.Fatal("a result beside an error")
		}
		return nil, nil, err
	}
	state, err := io.ReadAll(v.State())
	if err := errors.Join(err, v.Close(), v.Close()); err != nil {
		tb.Fatal(err)
	}
	return v, state, nil
}

// member is a member of an archive made by hand.
type member struct {
	name    string
	content string
	header  tar.Header // what differs from a regular file
}

// parts returns the three members of a valid archive with the state.
func parts(tb testing.TB, state []byte) (meta, bin, sums member) {
	tb.Helper()
	m := testMeta
	m.Size = int64(len(state))
	text, err := m.encode()
	if err != nil {
		tb.Fatal(err)
	}
	return member{name: memberMeta, content: string(text)}, member{name: memberState, content: string(state)},
		member{name: memberSums, content: string(encodeSums(sha256.Sum256(text), sha256.Sum256(state)))}
}

func tarOf(tb testing.TB, members ...member) []byte {
	tb.Helper()
	var out bytes.Buffer
	tw := tar.NewWriter(&out)
	for _, m := range members {
		h := m.header
		h.Name, h.Mode = m.name, 0o600
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(m.content))
		}
		if err := tw.WriteHeader(&h); err != nil {
			tb.Fatal(err)
		}
		if _, err := io.WriteString(tw, m.content); err != nil {
			tb.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func gzipOf(tb testing.TB, parts ...[]byte) []byte {
	tb.Helper()
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	for _, p := range parts {
		if _, err := zw.Write(p); err != nil {
			tb.Fatal(err)
		}
	}
	if err := zw.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func edit(m member, old, changed string) member {
	m.content = strings.Replace(m.content, old, changed, 1)
	return m
}
