package snapshot

import (
	"archive/tar"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// bomb is a gzip file of a beginning and then size bytes of a repeated pattern, in about a thousandth of that. It is
// cheap to make: a piece of deflate that ends on a byte can be repeated.
func bomb(tb testing.TB, start, pattern []byte, size int64) []byte {
	tb.Helper()
	piece := func(b []byte, end func(*flate.Writer) error) []byte {
		var out bytes.Buffer
		w, err := flate.NewWriter(&out, flate.BestCompression)
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write(b); err != nil {
			tb.Fatal(err)
		}
		if err := end(w); err != nil {
			tb.Fatal(err)
		}
		return out.Bytes()
	}
	block := bytes.Repeat(pattern, (1<<20)/len(pattern))
	out := []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff")
	out = append(out, piece(start, (*flate.Writer).Flush)...)
	middle := piece(block, (*flate.Writer).Flush)
	crc, blockCRC := crc32.ChecksumIEEE(start), crc32.ChecksumIEEE(block)
	total := int64(len(start))
	for n := int64(0); n < size; n += int64(len(block)) {
		out = append(out, middle...)
		crc = crcCombine(crc, blockCRC, int64(len(block)))
		total += int64(len(block))
	}
	out = append(out, piece(nil, (*flate.Writer).Close)...)
	out = binary.LittleEndian.AppendUint32(out, crc)
	return binary.LittleEndian.AppendUint32(out, uint32(total))
}

// stateHeader is the beginning of a tar file up to the content of a state.bin of size bytes.
func stateHeader(tb testing.TB, size int64) []byte {
	tb.Helper()
	var out bytes.Buffer
	tw := tar.NewWriter(&out)
	m := testMeta
	m.Size = size
	text, err := m.encode()
	if err := errors.Join(err, addMember(tw, memberMeta, text), tw.WriteHeader(tarHeader(memberState, size))); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// TestBombsAreRefusedAtOnce runs alone, to measure memory.
func TestBombsAreRefusedAtOnce(t *testing.T) {
	const huge = 10 << 30
	record := []byte("\x01\xda\x7f\xfc" + strings.Repeat("\x00", 0x7ffc)) // of 32 KiB
	cases := []struct {
		name    string
		archive []byte
		want    error // nil for whichever of two faults is found first, side by side
	}{
		{"zeros alone", bomb(t, nil, make([]byte, 512), huge), ErrDamaged},
		{"a state of zeros", bomb(t, stateHeader(t, huge), make([]byte, 512), huge), nil},
		{"a state of empty records", bomb(t, append(stateHeader(t, huge), 0x80), []byte("\x01\xc0"), huge), ErrTooLarge},
		{"a state of records of zeros", bomb(t, append(stateHeader(t, huge), 0x80), record, huge), ErrTooLarge},
		{"one record of zeros", bomb(t, append(stateHeader(t, huge), "\x80\x01\xdb\x03\xff\xff\x00"...), make([]byte, 512), huge), ErrTooLarge},
		{"a state larger than any", bomb(t, stateHeader(t, DefaultMaxState+1), make([]byte, 512), 1), ErrTooLarge},
		{"a meta.json of spaces", bomb(t, tarOf(t, member{name: memberMeta, content: "x"})[:512], []byte(" "), huge), ErrRefused},
		{"zeros after a good archive", bomb(t, tarOf(t, func() []member { m, b, s := parts(t, smallState(t)); return []member{m, b, s} }()...), make([]byte, 512), huge), ErrRefused},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			debug.FreeOSMemory()
			if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil { // peak from here on
				t.Skip(err)
			}
			before := peak(t)
			start := time.Now()
			_, _, err := verifyBytes(t, c.archive, VerifyOptions{TempDir: t.TempDir()})
			took, grown := time.Since(start), peak(t)-before
			if !errors.Is(err, c.want) && (c.want != nil || !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrTooLarge)) {
				t.Errorf("%d bytes: got %v, want %v", len(c.archive), err, c.want)
			}
			if grown > 16<<20 {
				t.Errorf("memory grew by %d MiB", grown>>20)
			}
			if at := new(ArchiveError); errors.As(err, &at) && at.Offset > 128<<10 {
				t.Errorf("%d bytes were read before it was refused", at.Offset)
			}
			t.Logf("%d bytes, %s, %d KiB: %v", len(c.archive), took, grown>>10, err)
		})
	}
}

// peak returns the highest resident memory of the process so far, in bytes.
func peak(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmHWM:" {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Skip("no VmHWM")
	return 0
}

// TestTheRatioOfRealStatesIsFarFromTheLimit: a fleet of nodes that differ only in what is random.
func TestTheRatioOfRealStatesIsFarFromTheLimit(t *testing.T) {
	t.Parallel()
	node := testNode(0)
	for i := range 44 {
		node.Attributes = node.Attributes.With(strings.Repeat("attribute.", 3)+strconv.Itoa(i), "the same everywhere")
	}
	var state bytes.Buffer
	w := NewWriter(&state)
	for n := range 5000 {
		id := sha256.Sum256([]byte(strconv.Itoa(n)))
		node.ID, node.SecretHash = uuid(n), id[:]
		if err := w.WriteRecord(structs.NodeRecord, node); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	var best bytes.Buffer // as well as gzip can
	zw, _ := gzip.NewWriterLevel(&best, gzip.BestCompression)
	_, _ = zw.Write(state.Bytes())
	_ = zw.Close()
	if ratio := state.Len() / best.Len(); ratio > DefaultMaxRatio/2 {
		t.Errorf("%d to 1 without being a bomb", ratio)
	}
	archive := archiveOf(t, testMeta, state.Bytes())
	if _, _, err := verifyBytes(t, archive, VerifyOptions{}); err != nil {
		t.Error(err)
	}
	t.Logf("%d bytes of state: %d by gzip's best, %d in an archive", state.Len(), best.Len(), len(archive))
}

func TestWriteFileReplacesAllOrNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "a.snap")
	boom := errors.New("boom")
	content := func(want string) {
		t.Helper()
		list, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if want == "" && len(list) > 0 || want != "" && len(list) != 1 {
			t.Errorf("files left: %v", list)
		}
		if got, _ := os.ReadFile(path); string(got) != want {
			t.Errorf("content %q, want %q", got, want)
		}
	}
	write := func(text string, result error) func(*os.File) error {
		return func(f *os.File) error {
			if _, err := io.WriteString(f, text); err != nil {
				return err
			}
			if back, err := os.ReadFile(f.Name()); err != nil || string(back) != text {
				t.Errorf("can't be read back: %q, %v", back, err)
			}
			return result
		}
	}
	if err := WriteFile(path, write("half", boom)); !errors.Is(err, boom) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	content("")
	if err := WriteFile(path, write("first", nil)); err != nil {
		t.Fatal(err)
	}
	content("first")
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := WriteFile(path, write("half", boom)); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	content("first")
	if err := WriteFile(path, write("second", nil)); err != nil {
		t.Fatal(err)
	}
	content("second")
	if err := WriteFile(filepath.Join(dir, "no", "such", "file"), write("x", nil)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if err := WriteFile(dir, write("x", nil)); err == nil {
		t.Error("a directory was replaced")
	}
	content("second")
}
