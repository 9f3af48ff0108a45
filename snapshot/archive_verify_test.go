package snapshot

import (
	"archive/tar"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

func TestMembersMayComeInAnyOrder(t *testing.T) {
	t.Parallel()
	state := smallState(t)
	m, b, s := parts(t, state)
	for _, order := range [][]member{{m, b, s}, {m, s, b}, {b, m, s}, {b, s, m}, {s, m, b}, {s, b, m}} {
		v, got, err := verifyBytes(t, gzipOf(t, tarOf(t, order...)), VerifyOptions{})
		if err != nil {
			t.Fatalf("%s, %s, %s: %v", order[0].name, order[1].name, order[2].name, err)
		}
		if v.Meta.ID != testMeta.ID || !bytes.Equal(got, state) {
			t.Errorf("another snapshot: %+v", v.Meta)
		}
	}
}

func TestWhatOtherToolsAddIsAccepted(t *testing.T) {
	t.Parallel()
	m, b, s := parts(t, smallState(t))
	whole := tarOf(t, m, b, s)
	padded := append(bytes.Clone(whole), make([]byte, tarRecord-len(whole)%tarRecord)...)
	var named bytes.Buffer
	zw := gzip.NewWriter(&named)
	zw.Name = "fleet.tar"
	_, _ = zw.Write(whole)
	_ = zw.Close()
	m.header = tar.Header{Format: tar.FormatPAX, PAXRecords: map[string]string{"comment": "made by hand"}, Uname: "root", Uid: 1000}
	for name, archive := range map[string][]byte{
		"the last record is filled": gzipOf(t, padded), "a file name in the gzip header": named.Bytes(),
		"extended headers": gzipOf(t, tarOf(t, m, b, s)),
	} {
		if _, _, err := verifyBytes(t, archive, VerifyOptions{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEveryFaultIsRefusedWithItsPlace(t *testing.T) {
	t.Parallel()
	m, b, s := parts(t, smallState(t))
	whole := tarOf(t, m, b, s)
	good := gzipOf(t, whole)
	remade := func(state string) (member, member, member) { return parts(t, []byte(state)) }
	with := func(change func(*Meta)) []byte {
		meta := testMeta
		meta.Configuration.Servers = slices.Clone(meta.Configuration.Servers)
		meta.Size = int64(len(b.content))
		change(&meta)
		text, err := meta.encode()
		if err != nil {
			t.Fatal(err)
		}
		return gzipOf(t, tarOf(t, member{name: memberMeta, content: string(text)}, b, s))
	}
	bad := func(state string) []byte {
		m, b, s := remade(state)
		return gzipOf(t, tarOf(t, m, b, s))
	}
	flag := func(bits byte) []byte {
		a := bytes.Clone(good)
		a[3] = bits
		return a
	}
	var many []member
	for n := range 20000 {
		many = append(many, member{name: fmt.Sprintf("x%d", n)})
	}
	node := string(stateOf(t, typed{structs.NodeRecord, testNode(1)}))
	cases := []struct {
		name    string
		archive []byte
		opts    VerifyOptions
		member  string
		want    error
		text    string
	}{
		{"an empty file", nil, VerifyOptions{}, "", ErrDamaged, "the file is empty"},
		{"one byte", []byte{0x1f}, VerifyOptions{}, "", ErrDamaged, "ends in its gzip header"},
		{"a text", []byte("snapshot\n"), VerifyOptions{}, "", ErrNotArchive, "does not begin as a gzip file"},
		{"a tar file that is not compressed", whole, VerifyOptions{}, "", ErrNotArchive, "gzip"},
		{"another compression method", append([]byte{0x1f, 0x8b, 9, 0}, good[4:]...), VerifyOptions{}, "", ErrDamaged, "compression method 9"},
		{"a gzip comment", flag(0x10), VerifyOptions{}, "", ErrDamaged, "flags 0x10"},
		{"an extra field of someone else", flag(0x04), VerifyOptions{}, "", ErrDamaged, "other extra fields"},
		{"a reserved gzip flag", flag(0x80), VerifyOptions{}, "", ErrDamaged, "flags 0x80"},
		{"a gzip file name without an end", append([]byte("\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\xff"), bytes.Repeat([]byte("n"), 5000)...), VerifyOptions{}, "", ErrDamaged, "gzip header"},
		{"a wrong gzip sum", append(bytes.Clone(good[:len(good)-8]), append([]byte("\x00\x00\x00\x00"), good[len(good)-4:]...)...), VerifyOptions{}, "", ErrDamaged, "invalid checksum"},
		{"a wrong gzip length", append(bytes.Clone(good[:len(good)-4]), 0, 0, 0, 0), VerifyOptions{}, "", ErrDamaged, "invalid checksum"},
		{"a byte after the gzip stream", append(bytes.Clone(good), 0), VerifyOptions{}, "", ErrRefused, "data follows the end of the archive"},
		{"a second gzip stream", append(bytes.Clone(good), good...), VerifyOptions{}, "", ErrRefused, "second gzip stream"},
		{"an empty second gzip stream", append(bytes.Clone(good), gzipOf(t)...), VerifyOptions{}, "", ErrRefused, "second gzip stream"},
		{"two gzip streams that make one tar file", append(gzipOf(t, whole[:700]), gzipOf(t, whole[700:])...), VerifyOptions{}, memberMeta, ErrDamaged, "tar: unexpected EOF"},
		{"an empty gzip file", gzipOf(t), VerifyOptions{}, "", ErrDamaged, "meta.json is missing"},
		{"an empty tar file", gzipOf(t, tarOf(t)), VerifyOptions{}, "", ErrDamaged, "meta.json is missing"},
		{"zeros after the tar file", gzipOf(t, whole, make([]byte, tarRecord+1)), VerifyOptions{}, "", ErrRefused, "data follows the end of the tar file"},
		{"a byte after the tar file", gzipOf(t, whole, []byte("x")), VerifyOptions{}, "", ErrRefused, "data follows the end of the tar file"},
		{"a second tar file", gzipOf(t, whole, whole), VerifyOptions{}, "", ErrRefused, "data follows the end of the tar file"},
		{"a tar file without its end", gzipOf(t, whole[:len(whole)-1024]), VerifyOptions{}, "", ErrDamaged, "the end of the tar file is missing"},
		{"a tar file with half of its end", gzipOf(t, whole[:len(whole)-512]), VerifyOptions{}, "", ErrDamaged, "the end of the tar file is missing"},
		{"a tar file cut off in state.bin", gzipOf(t, whole[:1600]), VerifyOptions{}, memberState, ErrDamaged, "tar: unexpected EOF"},
		{"no meta.json", gzipOf(t, tarOf(t, b, s)), VerifyOptions{}, "", ErrDamaged, "meta.json is missing"},
		{"no state.bin", gzipOf(t, tarOf(t, m, s)), VerifyOptions{}, "", ErrDamaged, "state.bin is missing"},
		{"no SHA256SUMS", gzipOf(t, tarOf(t, m, b)), VerifyOptions{}, "", ErrDamaged, "SHA256SUMS is missing"},
		{"two of meta.json", gzipOf(t, tarOf(t, m, m, b, s)), VerifyOptions{}, "", ErrRefused, "second member meta.json"},
		{"two of state.bin", gzipOf(t, tarOf(t, m, b, b, s)), VerifyOptions{}, "", ErrRefused, "second member state.bin"},
		{"two of SHA256SUMS", gzipOf(t, tarOf(t, m, b, s, s)), VerifyOptions{}, "", ErrRefused, "second member SHA256SUMS"},
		{"another member", gzipOf(t, tarOf(t, m, b, s, member{name: "notes.txt"})), VerifyOptions{}, "", ErrRefused, `unknown member "notes.txt"`},
		{"a renamed member", gzipOf(t, tarOf(t, member{name: "metadata.json", content: m.content}, b, s)), VerifyOptions{}, "", ErrRefused, `unknown member "metadata.json"`},
		{"another case", gzipOf(t, tarOf(t, m, member{name: "STATE.BIN", content: b.content}, s)), VerifyOptions{}, "", ErrRefused, "STATE.BIN"},
		{"a path", gzipOf(t, tarOf(t, m, member{name: "./state.bin", content: b.content}, s)), VerifyOptions{}, "", ErrRefused, "./state.bin"},
		{"an absolute path", gzipOf(t, tarOf(t, m, member{name: "/etc/cron.d/x", content: "x"})), VerifyOptions{}, "", ErrRefused, "points out of the archive"},
		{"a path upwards", gzipOf(t, tarOf(t, member{name: "a/../../meta.json", content: "x"})), VerifyOptions{}, "", ErrRefused, "points out of the archive"},
		{"a very long name", gzipOf(t, tarOf(t, member{name: strings.Repeat("n", 5000)})), VerifyOptions{}, "", ErrRefused, "unknown member"},
		{"20,000 members", gzipOf(t, tarOf(t, many...)), VerifyOptions{}, "", ErrRefused, "unknown member"},
		{"a symbolic link", gzipOf(t, tarOf(t, m, member{name: "state.bin", header: tar.Header{Typeflag: tar.TypeSymlink, Linkname: "/etc/shadow"}})), VerifyOptions{}, memberState, ErrRefused, "link"},
		{"a hard link", gzipOf(t, tarOf(t, m, member{name: "state.bin", header: tar.Header{Typeflag: tar.TypeLink, Linkname: "meta.json"}})), VerifyOptions{}, memberState, ErrRefused, "link"},
		{"a directory", gzipOf(t, tarOf(t, member{name: "meta.json", header: tar.Header{Typeflag: tar.TypeDir}})), VerifyOptions{}, memberMeta, ErrRefused, "special file"},
		{"a device", gzipOf(t, tarOf(t, member{name: "meta.json", header: tar.Header{Typeflag: tar.TypeChar}})), VerifyOptions{}, memberMeta, ErrRefused, "special file"},
		{"a pipe", gzipOf(t, tarOf(t, member{name: "meta.json", header: tar.Header{Typeflag: tar.TypeFifo}})), VerifyOptions{}, memberMeta, ErrRefused, "special file"},
		{"a global header", gzipOf(t, globalHeader(t)), VerifyOptions{}, memberState, ErrRefused, "special file"},
		{"a sparse file", gzipOf(t, sparseTar(t)), VerifyOptions{}, memberState, ErrRefused, "sparse"},
		{"endless extended headers", gzipOf(t, bytes.Repeat(tarOf(t, member{name: "meta.json", header: tar.Header{Format: tar.FormatPAX, PAXRecords: map[string]string{"comment": "x"}}})[:1024], 100)), VerifyOptions{}, "", ErrTooLarge, "more uncompressed bytes"},
		{"a tar header with a wrong sum", gzipOf(t, append([]byte("M"), whole[1:]...)), VerifyOptions{}, "", ErrDamaged, "invalid tar header"},
		{"an oversized meta.json", gzipOf(t, tarOf(t, member{name: "meta.json", content: strings.Repeat(" ", 1<<20+1)})), VerifyOptions{}, memberMeta, ErrTooLarge, "more than 1048576"},
		{"an oversized SHA256SUMS", gzipOf(t, tarOf(t, member{name: "SHA256SUMS", content: strings.Repeat(" ", 5000)})), VerifyOptions{}, memberSums, ErrTooLarge, "more than 4096"},
		{"an oversized state.bin", good, VerifyOptions{MaxState: 100}, memberState, ErrTooLarge, "more than 100"},
		{"meta.json is no JSON", gzipOf(t, tarOf(t, edit(m, "{", "<"), b, s)), VerifyOptions{}, memberMeta, ErrRefused, "invalid character"},
		{"two objects in meta.json", gzipOf(t, tarOf(t, member{name: "meta.json", content: m.content + m.content}, b, s)), VerifyOptions{}, memberMeta, ErrRefused, "after the JSON object"},
		{"another version", with(func(m *Meta) { m.Version = 2 }), VerifyOptions{}, memberMeta, ErrRefused, "Version is 2"},
		{"an ID that is a path", with(func(m *Meta) { m.ID = "../../x" }), VerifyOptions{}, memberMeta, ErrRefused, "ID"},
		{"an ID of dots", with(func(m *Meta) { m.ID = ".." }), VerifyOptions{}, memberMeta, ErrRefused, "ID"},
		{"no index and no term", with(func(m *Meta) { m.Index, m.Term = 0, 0 }), VerifyOptions{}, memberMeta, ErrRefused, "Term is 0"},
		{"an impossible suffrage", with(func(m *Meta) { m.Configuration.Servers[0].Suffrage = 9 }), VerifyOptions{}, memberMeta, ErrRefused, "suffrage 9"},
		{"a size that is too small", gzipOf(t, tarOf(t, edit(m, `"Size":`, `"Size":-`), b, s)), VerifyOptions{}, memberMeta, ErrRefused, "Size is -"},
		{"another size", gzipOf(t, tarOf(t, edit(m, `"Size":`, `"Size":1`), b, s)), VerifyOptions{}, memberState, ErrDamaged, "meta.json says 1"},
		{"another size, said last", gzipOf(t, tarOf(t, b, s, edit(m, `"Size":`, `"Size":1`))), VerifyOptions{}, "", ErrDamaged, "meta.json says 1"},
		{"a changed index", gzipOf(t, tarOf(t, edit(m, `"Index":96`, `"Index":97`), b, s)), VerifyOptions{}, "", ErrDamaged, "the SHA-256 of meta.json"},
		{"a changed state", gzipOf(t, tarOf(t, m, edit(b, "debian", "fedora"), s)), VerifyOptions{}, "", ErrDamaged, "the SHA-256 of state.bin"},
		{"no sum of state.bin", gzipOf(t, tarOf(t, m, b, member{name: s.name, content: s.content[:76]})), VerifyOptions{}, "", ErrRefused, "no sum of state.bin"},
		{"no sums", gzipOf(t, tarOf(t, m, b, member{name: s.name})), VerifyOptions{}, "", ErrRefused, "no sum of meta.json"},
		{"a sum of another file", gzipOf(t, tarOf(t, m, b, edit(s, "state.bin", "state.txt"))), VerifyOptions{}, memberSums, ErrRefused, "state.txt"},
		{"a sum twice", gzipOf(t, tarOf(t, m, b, edit(s, "state.bin", "meta.json"))), VerifyOptions{}, memberSums, ErrRefused, "two sums"},
		{"a sum that is no number", gzipOf(t, tarOf(t, m, b, member{name: s.name, content: "z" + s.content[1:]})), VerifyOptions{}, memberSums, ErrRefused, "line 1"},
		{"a sum that is too short", gzipOf(t, tarOf(t, m, b, member{name: s.name, content: s.content[2:]})), VerifyOptions{}, memberSums, ErrRefused, "line 1"},
		{"a last line without an end", gzipOf(t, tarOf(t, m, b, member{name: s.name, content: strings.TrimSuffix(s.content, "\n")})), VerifyOptions{}, memberSums, ErrRefused, "line 2"},
		{"a state that does not begin as one", bad("\x90"), VerifyOptions{}, memberState, ErrDamaged, "snapshot header at byte 0"},
		{"a record that is cut off", bad(node[:len(node)-3]), VerifyOptions{}, memberState, ErrDamaged, "snapshot record 1 (Node, type 0) at byte 1"},
		{"a node that is a number", bad("\x80\x00\x07"), VerifyOptions{}, memberState, ErrDamaged, "record 1 (Node, type 0) at byte 1"},
		{"a record of a type that no writer uses", bad(node + "\xc8\x07"), VerifyOptions{}, memberState, ErrDamaged, fmt.Sprintf("record 2 (unknown(200), type 200) at byte %d", len(node))},
		{"a record its reader refuses", good, VerifyOptions{Record: func(r Record) error {
			if r.Type == 90 {
				return errors.New("no thanks")
			}
			return nil
		}}, memberState, ErrDamaged, "record 6 (unknown(90), type 90) at byte"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.opts.Name = "fleet.snap"
			_, _, err := verifyBytes(t, c.archive, c.opts)
			var at *ArchiveError
			if !errors.As(err, &at) || !errors.Is(err, c.want) {
				t.Fatalf("got %v, want an ArchiveError with %v", err, c.want)
			}
			if at.Member != c.member || at.File != "fleet.snap" || at.Offset < 0 || at.Offset > int64(len(c.archive)) {
				t.Errorf("at %s, %s, %d of %d bytes: %v", at.File, at.Member, at.Offset, len(c.archive), err)
			}
			for _, text := range []string{"fleet.snap", c.member, c.text, fmt.Sprintf("at byte %d", at.Offset), c.want.Error()} {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q does not say %q", err, text)
				}
			}
		})
	}
	if _, _, err := verifyBytes(t, good, VerifyOptions{}); err != nil {
		t.Errorf("the same without a fault: %v", err)
	}
}

// sparseTar holds a state.bin of 8 GiB in 512 bytes.
func sparseTar(t *testing.T) []byte {
	t.Helper()
	pax := map[string]string{"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "state.bin", "GNU.sparse.realsize": "8589934592"}
	var records []byte
	for _, key := range []string{"GNU.sparse.major", "GNU.sparse.minor", "GNU.sparse.name", "GNU.sparse.realsize"} {
		line := fmt.Sprintf(" %s=%s\n", key, pax[key])
		n := len(line) + 2
		records = append(records, fmt.Sprintf("%d%s", n, line)...)
	}
	ext := tarOf(t, member{name: "PaxHeaders/state.bin", content: string(records)})
	ext[156] = tar.TypeXHeader
	sumHeader(ext[:512])
	body := "1\n8589934591\n1\n" + strings.Repeat("\x00", 512-15) + "x"
	file := tarOf(t, member{name: "GNUSparseFile.0/state.bin", content: body})
	return append(ext[:1024], file...)
}

// globalHeader gives all members that follow the name state.bin.
func globalHeader(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := tar.NewWriter(&out).WriteHeader(&tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"path": "state.bin"}}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func sumHeader(h []byte) {
	copy(h[148:156], "        ")
	n := 0
	for _, c := range h {
		n += int(c)
	}
	copy(h[148:156], fmt.Sprintf("%06o\x00 ", n))
}

// TestEveryFlippedBitIsRefused: of archives that Write wrote, without an exception.
func TestEveryFlippedBitIsRefused(t *testing.T) {
	t.Parallel()
	good := archiveOf(t, testMeta, tinyState(t))
	for at := range good {
		for bit := range 8 {
			damaged := bytes.Clone(good)
			damaged[at] ^= 1 << bit
			_, _, err := verifyBytes(t, damaged, VerifyOptions{})
			var place *ArchiveError
			if !errors.As(err, &place) {
				t.Errorf("byte %d, bit %d: %v", at, bit, err)
			}
		}
	}
}

// TestFlippedBitsOfARealArchiveAreRefusedOrHarmless: other writers have no sum of the compressed bytes. What is not
// refused gives the same snapshot: six bytes of the gzip header that are theirs, and a few of the tables and fill bits of
// deflate.
func TestFlippedBitsOfARealArchiveAreRefusedOrHarmless(t *testing.T) {
	t.Parallel()
	good, err := os.ReadFile("testdata/nomad-1.10.5/state.snap")
	if err != nil {
		t.Fatal(err)
	}
	want, _, err := verifyBytes(t, good, VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	harmless := 0
	for at := 0; at < len(good); at += 1 + min(at/64, random.IntN(8)) { // all of the header, some of the rest
		damaged := bytes.Clone(good)
		damaged[at] ^= 1 << random.IntN(8)
		v, _, err := verifyBytes(t, damaged, VerifyOptions{})
		switch {
		case err == nil && (v.StateSum != want.StateSum || !cmp.Equal(v.Meta, want.Meta)):
			t.Errorf("byte %d: another snapshot", at)
		case err == nil && at >= 10:
			harmless++
		case err != nil && at >= 4 && at < 10:
			t.Errorf("byte %d of the gzip header is the writer's: %v", at, err)
		}
	}
	if harmless*500 > len(good) {
		t.Errorf("%d of %d flipped bits were harmless", harmless, len(good))
	}
	for range 100 {
		damaged := bytes.Clone(good)
		a, b := 10+random.IntN(5000), 6000+random.IntN(5000)
		for i := range 64 {
			damaged[a+i], damaged[b+i] = damaged[b+i], damaged[a+i]
		}
		if _, _, err := verifyBytes(t, damaged, VerifyOptions{}); err == nil {
			t.Errorf("swapped pieces at %d and %d: not noticed", a, b)
		}
	}
}

func TestEveryCutIsRefused(t *testing.T) {
	t.Parallel()
	small := archiveOf(t, testMeta, tinyState(t))
	var records []typed
	for n := range 700 {
		records = append(records, typed{structs.NodeRecord, testNode(n)})
	}
	large := archiveOf(t, testMeta, stateOf(t, records...))
	cut := func(archive []byte, step int) {
		for n := 0; n < len(archive); n += step {
			_, _, err := verifyBytes(t, archive[:n], VerifyOptions{})
			var at *ArchiveError
			if !errors.Is(err, ErrDamaged) || !errors.As(err, &at) {
				t.Fatalf("cut at byte %d of %d: %v", n, len(archive), err)
			}
			if at.Offset > int64(n) {
				t.Errorf("cut at byte %d: error at byte %d", n, at.Offset)
			}
		}
	}
	cut(small, 1)
	cut(large, 512)
}

func TestAFailedSourceIsNotADamagedArchive(t *testing.T) {
	t.Parallel()
	good := archiveOf(t, testMeta, tinyState(t))
	boom := errors.New("connection reset")
	for n := range good {
		_, _, err := verifyReader(t, io.MultiReader(bytes.NewReader(good[:n]), iotest.ErrReader(boom)), VerifyOptions{})
		if !errors.Is(err, boom) || errors.Is(err, ErrDamaged) {
			t.Fatalf("after byte %d: %v", n, err)
		}
	}
	if _, _, err := verifyReader(t, iotest.DataErrReader(iotest.OneByteReader(bytes.NewReader(good))), VerifyOptions{}); err != nil {
		t.Errorf("byte by byte: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Verify(ctx, bytes.NewReader(good), VerifyOptions{}); !errors.Is(err, context.Canceled) || errors.Is(err, ErrDamaged) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Verify(t.Context(), bytes.NewReader(good), VerifyOptions{TempDir: "/nonexistent"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no temporary directory: %v", err)
	}
}

// TestNothingIsLeftBehind: neither a good nor a bad archive leaves a file, whether or not it is closed.
func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := archiveOf(t, testMeta, smallState(t))
	v, err := Verify(t.Context(), bytes.NewReader(good), VerifyOptions{TempDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = v.Close() }()
	if _, err := Verify(t.Context(), bytes.NewReader(good[:len(good)-1]), VerifyOptions{TempDir: dir}); err == nil {
		t.Fatal("not refused")
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
		t.Errorf("%v, %v", list, err)
	}
}

func TestProgressOfVerifyingReachesTheSizeOfTheFile(t *testing.T) {
	t.Parallel()
	var done, total int64
	path := filepath.Join(t.TempDir(), "a.snap")
	good := archiveOf(t, testMeta, smallState(t))
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := VerifyFile(t.Context(), path, VerifyOptions{Progress: func(d, n int64) { done, total = d, n }})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil || v.Name != path || done != int64(len(good)) || total != done {
		t.Errorf("%s: %d of %d, %v", v.Name, done, total, err)
	}
	for path, want := range map[string]error{t.TempDir(): ErrNotArchive, "/nonexistent": os.ErrNotExist} {
		if _, err := VerifyFile(t.Context(), path, VerifyOptions{}); !errors.Is(err, want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestArchivesOfARealServerAreRead pins what the fixture holds.
func TestArchivesOfARealServerAreRead(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		index uint64
		size  int64
		pools []string
	}{
		"early": {94, 49807, []string{"all", "default", "edge", "gpu", "newpool"}},
		"state": {96, 49668, []string{"all", "default", "edge", "newpool"}},
	} {
		var i Inspector
		v, err := VerifyFile(t.Context(), "testdata/nomad-1.10.5/"+name+".snap", VerifyOptions{Record: i.Record})
		if err != nil {
			t.Fatal(err)
		}
		s := i.Summary(v)
		again, err := Inspect(t.Context(), v)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, again); diff != "" {
			t.Errorf("read again, -first +second:\n%s", diff)
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		if s.Index != want.index || s.Term != 2 || s.Size != want.size || s.LatestIndex != want.index || s.Version != 1 ||
			s.Created == nil || s.Created.Year() != 2026 || s.ClusterID != "1536270f-dad9-69d1-a402-cd58a6e19000" ||
			len(s.Servers) != 1 || s.ArchiveSize < 12000 || !strings.HasPrefix(s.Digest, "sha-256=") {
			t.Errorf("%+v", s)
		}
		if diff := cmp.Diff(NodeSummary{
			Total: 40, ByStatus: map[string]uint64{"ready": 35, "initializing": 5}, ByPool: s.Nodes.ByPool, ClearSecrets: 40,
		}, s.Nodes); diff != "" {
			t.Errorf("nodes, -want +got:\n%s", diff)
		}
		var pools []string
		for _, p := range s.NodePools {
			pools = append(pools, p.Name)
			if p.NodeIdentityTTL != 0 || p.Name == "all" && p.Nodes != 40 {
				t.Errorf("pool %+v", p)
			}
		}
		if diff := cmp.Diff(want.pools, pools); diff != "" {
			t.Error(diff)
		}
		if len(s.RootKeys) != 2 || s.RootKeys[0].KeyID != "562e28bb-2fd7-809c-57c5-26c9a2279a9d" || s.RootKeys[0].State != "active" || !slices.Equal(s.RootKeys[0].WrappedBy, []string{"aead"}) {
			t.Errorf("keys %+v", s.RootKeys)
		}
		var opaque []string
		for _, c := range s.Types {
			if c.Meaning == Opaque {
				opaque = append(opaque, c.Name)
			} else if c.Meaning != Loaded {
				t.Errorf("%+v", c)
			}
		}
		if diff := cmp.Diff([]string{"Job", "Evaluation", "JobSummary", "JobVersion", "Deployment", "Variables", "VariablesQuota", "JobSubmission"}, opaque); diff != "" {
			t.Error(diff)
		}
		if text, err := json.Marshal(s); err != nil || bytes.Contains(text, []byte("R7erTTUbaq0KFU3i")) || bytes.Contains(text, []byte("f1375303-efc8")) {
			t.Errorf("a secret in %s, %v", text, err)
		}
	}
}

// FuzzArchive: no input makes Verify panic, hang or leave a file, and what it accepts it accepts again once written by Write.
func FuzzArchive(f *testing.F) {
	good := archiveOf(f, testMeta, smallState(f))
	m, b, s := parts(f, smallState(f))
	f.Add(good, false)
	f.Add(good[:200], false)
	f.Add(tarOf(f, m, b, s), true)
	f.Add(tarOf(f, s, b, m), true)
	f.Add(tarOf(f, m, member{name: "state.bin", header: tar.Header{Typeflag: tar.TypeSymlink, Linkname: "x"}}, s), true)
	f.Fuzz(func(t *testing.T, in []byte, compress bool) {
		if compress { // so that the fuzzer gets past gzip's sum
			var out bytes.Buffer
			zw, _ := gzip.NewWriterLevel(&out, flate.NoCompression)
			_, _ = zw.Write(in)
			_ = zw.Close()
			in = out.Bytes()
		}
		v, state, err := verifyBytes(t, in, VerifyOptions{MaxState: 1 << 20})
		if err != nil {
			var at *ArchiveError
			if !errors.As(err, &at) {
				t.Fatal(err)
			}
			return
		}
		again, same, err := verifyBytes(t, archiveOf(t, v.Meta, state), VerifyOptions{MaxState: 1 << 20, MaxRatio: 2000})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(same, state) || again.StateSum != v.StateSum || !cmp.Equal(again.Counts, v.Counts) {
			t.Fatal("another snapshot")
		}
	})
}
