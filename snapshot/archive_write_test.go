package snapshot

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/rollcall-id/rollcall/structs"
)

func TestArchiveHasTheDocumentedMembers(t *testing.T) {
	t.Parallel()
	state := smallState(t)
	archive := archiveOf(t, testMeta, state)
	zr, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	if !zr.ModTime.IsZero() || zr.Name != "" || zr.OS != 255 || len(zr.Extra) != 8 || string(zr.Extra[:4]) != "RC\x04\x00" {
		t.Errorf("gzip header %+v", zr.Header)
	}
	tr := tar.NewReader(zr)
	meta := fmt.Sprintf(`{"Version":1,"ID":"2-96-1795295951419","Index":96,"Term":2,"Peers":"ka8xMjcuMC4wLjE6MTU2NDc=","Configuration":{"Servers":[{"Suffrage":0,"ID":"e38d3b8d-c763-c7df-cfe7-664e0a1da6be","Address":"127.0.0.1:15647"}]},"ConfigurationIndex":1,"Size":%d}`, len(state)) + "\n"
	sums := fmt.Sprintf("%x  meta.json\n%x  state.bin\n", sha256.Sum256([]byte(meta)), sha256.Sum256(state))
	for _, want := range []struct{ name, content string }{{"meta.json", meta}, {"state.bin", string(state)}, {"SHA256SUMS", sums}} {
		h, err := tr.Next()
		if err != nil {
			t.Fatal(err)
		}
		if h.Name != want.name || h.Mode != 0o600 || h.Typeflag != tar.TypeReg || h.Uid != 0 || h.Gid != 0 || h.ModTime.Unix() != 0 {
			t.Errorf("header %+v, want %s", h, want.name)
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.content, string(content)); diff != "" {
			t.Errorf("%s, -want +got:\n%s", want.name, diff)
		}
	}
	if _, err := tr.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("a fourth member, or %v", err)
	}
	if rest, err := io.ReadAll(zr); err != nil || len(rest) > 0 {
		t.Errorf("%d bytes after the tar file, %v", len(rest), err)
	}
}

// TestArchiveOfEqualStatesIsEqual: neither the pieces in which a state arrives nor the number of processors show.
func TestArchiveOfEqualStatesIsEqual(t *testing.T) {
	var records []typed
	for n := range 9000 {
		records = append(records, typed{structs.NodeRecord, testNode(n)})
	}
	state := stateOf(t, records...)
	if len(state) < 4*deflateChunk {
		t.Fatalf("a state of %d bytes is not enough", len(state))
	}
	want := sha256.Sum256(archiveOf(t, testMeta, state))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, procs := range []int{1, 2, 7} {
		runtime.GOMAXPROCS(procs)
		var out bytes.Buffer
		written, err := Write(t.Context(), &out, testMeta, From(iotest.HalfReader(bytes.NewReader(state))), WriteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if written.Digest != want || sha256.Sum256(out.Bytes()) != want {
			t.Errorf("other bytes with %d processors", procs)
		}
		if written.Size != int64(out.Len()) || written.StateSum != sha256.Sum256(state) || written.Meta.Size != int64(len(state)) {
			t.Errorf("described as %+v", written)
		}
		if h := written.DigestHeader(); h != "sha-256="+base64.StdEncoding.EncodeToString(want[:]) {
			t.Errorf("digest header %s", h)
		}
	}
}

func TestArchiveIsReadableByOtherTools(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"tar", "gzip", "sha256sum"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.snap"), archiveOf(t, testMeta, smallState(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-ec", "gzip -t < a.snap; tar xzf a.snap; sha256sum -c SHA256SUMS; tar czf b.snap SHA256SUMS state.bin meta.json")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	v, err := VerifyFile(t.Context(), filepath.Join(dir, "b.snap"), VerifyOptions{})
	if err != nil {
		t.Fatalf("packed again by tar: %v", err)
	}
	_ = v.Close()
}

func TestWritingFailsWithoutAnArchive(t *testing.T) {
	t.Parallel()
	boom := errors.New("no space left")
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	good := From(bytes.NewReader(smallState(t)))
	big := bytes.Repeat([]byte{1}, 5*deflateChunk)
	cases := []struct {
		name  string
		ctx   context.Context
		out   io.Writer
		meta  func(*Meta)
		state func(io.Writer) error
		opts  WriteOptions
		want  error
		text  string
	}{
		{name: "the state can't be read", state: From(iotest.ErrReader(boom)), want: boom},
		{name: "the output can't be written", out: failing{boom}, want: boom},
		{name: "the context is done", ctx: cancelled, want: context.Canceled},
		{name: "the state is shorter than its metadata says", meta: func(m *Meta) { m.Size = 1 << 20 }, text: "its metadata says 1048576"},
		{name: "there is no state", state: From(bytes.NewReader(nil)), text: "Size is 0"},
		{name: "the metadata is that of no snapshot", meta: func(m *Meta) { *m = Meta{} }, text: "Index is 0"},
		{name: "there is no room for temporary files", opts: WriteOptions{TempDir: "/nonexistent"}, want: os.ErrNotExist},
		{name: "the state fails in the middle", state: func(w io.Writer) error {
			_, err := w.Write(big)
			return errors.Join(err, boom)
		}, want: boom},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var buf bytes.Buffer
			meta, ctx, state, out := testMeta, c.ctx, c.state, c.out
			if c.meta != nil {
				c.meta(&meta)
			}
			if ctx == nil {
				ctx = t.Context()
			}
			if state == nil {
				state = From(bytes.NewReader(smallState(t)))
			}
			if out == nil {
				out = &buf
			}
			written, err := Write(ctx, out, meta, state, c.opts)
			if err == nil || written != nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Fatalf("got %v, %v", written, err)
			}
			if buf.Len() > 0 {
				t.Errorf("%d bytes written", buf.Len())
			}
		})
	}
	if _, err := Write(t.Context(), io.Discard, testMeta, good, WriteOptions{}); err != nil {
		t.Errorf("the same without a fault: %v", err)
	}
}

// TestDeflaterStopsWhenItsOutputFails also shows that no goroutine waits for another for ever.
func TestDeflaterStopsWhenItsOutputFails(t *testing.T) {
	t.Parallel()
	boom := errors.New("no space left")
	d := newDeflater(failing{boom})
	var err error
	for n := 0; err == nil && n < 1000; n++ {
		_, err = d.Write(make([]byte, deflateChunk))
	}
	if !errors.Is(err, boom) || !errors.Is(d.Close(), boom) {
		t.Errorf("got %v", err)
	}
}

func TestCRCOfAConcatenationIsCombined(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.SliceOf(rapid.Byte()).Draw(t, "a"), rapid.SliceOfN(rapid.Byte(), 0, 5000).Draw(t, "b")
		want := crc32.ChecksumIEEE(append(bytes.Clone(a), b...))
		if got := crcCombine(crc32.ChecksumIEEE(a), crc32.ChecksumIEEE(b), int64(len(b))); got != want {
			t.Fatalf("%08x, want %08x", got, want)
		}
	})
}

func TestProgressOfWritingReachesItsTotal(t *testing.T) {
	t.Parallel()
	state := smallState(t)
	meta := testMeta
	meta.Size = int64(len(state))
	var done, total int64
	opts := WriteOptions{Progress: func(d, n int64) {
		if d < done {
			t.Errorf("went back from %d to %d", done, d)
		}
		done, total = d, n
	}}
	if _, err := Write(t.Context(), io.Discard, meta, From(iotest.OneByteReader(bytes.NewReader(state))), opts); err != nil {
		t.Fatal(err)
	}
	if done != meta.Size || total != meta.Size {
		t.Errorf("%d of %d, want %d", done, total, meta.Size)
	}
}

func TestMetaSurvivesRaft(t *testing.T) {
	t.Parallel()
	m := testMeta
	m.Size = 5
	m.Configuration.Servers = append(m.Configuration.Servers, Server{1, "b", "b:1"}, Server{2, "c", "c:1"})
	r := m.Raft()
	if r.Configuration.Servers[1].Suffrage != raft.Nonvoter || r.Version != raft.SnapshotVersionMax {
		t.Errorf("%+v", r)
	}
	if diff := cmp.Diff(m, MetaFromRaft(r)); diff != "" {
		t.Error(diff)
	}
	if got := m.Created().Format("2006-01-02T15:04:05.000Z07:00"); got != "2026-11-21T21:19:11.419Z" {
		t.Errorf("created %s", got)
	}
	for _, id := range []string{"", "x", "2-96", "2-96-x", "2-96--5", "1-2-3-4"} {
		if !(Meta{ID: id}).Created().IsZero() {
			t.Errorf("ID %q has a time", id)
		}
	}
}

// TestArchiveRoundTrip: whatever records there are, an archive gives them back, and its sums and counts are right.
func TestArchiveRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var state bytes.Buffer
		w := NewWriter(&state)
		for range rapid.IntRange(0, 20).Draw(t, "records") {
			typ := structs.RecordType(rapid.SampledFrom([]int{1, 3, 4, 26, 31, 90, 127}).Draw(t, "type"))
			content := rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(t, "content")
			if err := w.WriteRecord(typ, bytes.Repeat(content, rapid.IntRange(1, 300).Draw(t, "times"))); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		meta := testMeta
		meta.Index, meta.Term = rapid.Uint64Min(1).Draw(t, "index"), rapid.Uint64Min(1).Draw(t, "term")
		meta.Peers = rapid.SliceOf(rapid.Byte()).Draw(t, "peers")
		meta.Size = w.Size()
		var archive bytes.Buffer
		written, err := Write(context.Background(), &archive, meta, From(bytes.NewReader(state.Bytes())), WriteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		v, err := Verify(context.Background(), bytes.NewReader(archive.Bytes()), VerifyOptions{MaxRatio: 2000})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = v.Close() }()
		back, err := io.ReadAll(v.State())
		if err != nil || !bytes.Equal(back, state.Bytes()) {
			t.Fatalf("another state, %v", err)
		}
		if diff := cmp.Diff(meta, v.Meta); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff(w.Counts(), v.Counts); diff != "" {
			t.Fatal(diff)
		}
		if v.Digest != written.Digest || v.StateSum != written.StateSum || v.Size != int64(archive.Len()) {
			t.Fatal("other sums")
		}
	})
}
