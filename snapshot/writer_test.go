package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-msgpack/v2/codec"
	"pgregory.net/rapid"

	"github.com/rollcall-id/rollcall/structs"
)

func TestWriterWritesTheDocumentedBytes(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := NewWriter(&out)
	if err := w.WriteRecord(structs.IndexRecord, structs.IndexEntry{Key: "nodes", Value: 200}); err != nil {
		t.Fatal(err)
	}
	if err := w.WriteRaw(29, []byte{0x81, 0xa1, 'k', 0xd9, 1, 'v'}); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "\x80" + "\x02\x82\xa3Key\xa5nodes\xa5Value\xcc\xc8" + "\x1d\x81\xa1k\xd9\x01v"
	if got := out.String(); got != want {
		t.Errorf("wrote\n%x\nwant\n%x", got, want)
	}
	if w.Size() != int64(len(want)) {
		t.Errorf("Size() = %d of %d", w.Size(), len(want))
	}
	counts := []Count{{structs.IndexRecord, 1, 20}, {29, 1, 7}}
	if diff := cmp.Diff(counts, w.Counts()); diff != "" {
		t.Error(diff)
	}
}

func TestWriterOfNothingWritesAHeader(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := NewWriter(&out).Flush(); err != nil || out.String() != "\x80" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestWriterSortsTheKeysOfMaps(t *testing.T) {
	t.Parallel()
	write := func() string {
		n := &structs.Node{ID: "n", Attributes: structs.NewStringMap(map[string]string{})}
		for i := range 40 {
			n.Attributes = n.Attributes.With(fmt.Sprintf("attribute.%d", i), "v")
		}
		var out bytes.Buffer
		w := NewWriter(&out)
		if err := errors.Join(w.WriteRecord(structs.NodeRecord, n), w.Flush()); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	first := write()
	for range 20 {
		if write() != first {
			t.Fatal("the same node gave other bytes")
		}
	}
}

func TestWriterRefusesWhatAReaderWould(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name  string
		write func(*Writer) error
		want  error
	}{
		{"an invalid type", func(w *Writer) error { return w.WriteRaw(128, []byte{0xc0}) }, ErrBadType},
		{"no value", func(w *Writer) error { return w.WriteRaw(1, nil) }, structs.ErrTruncated},
		{"half a value", func(w *Writer) error { return w.WriteRaw(1, []byte{0x81, 0xc0}) }, structs.ErrTruncated},
		{"two values", func(w *Writer) error { return w.WriteRaw(1, []byte{0xc0, 0xc0}) }, structs.ErrTrailingBytes},
		{"a value that nests too deeply", func(w *Writer) error {
			return w.WriteRaw(1, []byte(strings.Repeat("\x91", 70)+"\xc0"))
		}, structs.ErrTooDeep},
		{"a value of too many bytes", func(w *Writer) error {
			return w.WriteRecord(1, strings.Repeat("x", MaxRecordBytes))
		}, structs.ErrTooLarge},
		{"a value whose marshaller panics", func(w *Writer) error { return w.WriteRecord(1, panics{}) }, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			w := NewWriter(&out)
			err := c.write(w)
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if again := w.WriteRaw(1, []byte{0xc0}); again == nil || w.Flush() == nil || out.Len() > 0 {
				t.Errorf("after an error: %v and %d bytes written", again, out.Len())
			}
		})
	}
}

type panics struct{}

func (panics) CodecEncodeSelf(*codec.Encoder) { panic("marshaller") }
func (panics) CodecDecodeSelf(*codec.Decoder) {}

func TestWriterReportsAFailedWrite(t *testing.T) {
	t.Parallel()
	boom := errors.New("no space left")
	w := NewWriter(failing{boom})
	err := w.WriteRaw(1, append([]byte{0xdb, 0, 8, 0, 0}, make([]byte, 8<<16)...))
	if !errors.Is(err, boom) || !errors.Is(w.Flush(), boom) {
		t.Errorf("got %v", err)
	}
	w = NewWriter(failing{boom})
	if err := w.Flush(); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	if err := w.WriteRecord(1, "x"); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestOrderPutsIndexesFirstAndOursLast(t *testing.T) {
	t.Parallel()
	var all []structs.RecordType
	for i := range math.MaxUint8 + 1 {
		all = append(all, structs.RecordType(i))
	}
	slices.SortStableFunc(all, func(a, b structs.RecordType) int { return Order(a) - Order(b) })
	wantStart := []structs.RecordType{2, 0, 28, 1, 3, 4, 6, 7, 9, 10, 16, 19, 17, 18, 11, 12, 64, 13, 14, 21, 22, 23, 24, 30, 25, 26, 27, 29, 31, 5, 8, 15, 20, 32, 33}
	if diff := cmp.Diff(wantStart, all[:len(wantStart)]); diff != "" {
		t.Errorf("first types, -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]structs.RecordType{100, 101, 103, 104}, all[252:]); diff != "" {
		t.Errorf("last types, -want +got:\n%s", diff)
	}
	ranks := map[int]bool{}
	for _, r := range all {
		ranks[Order(r)] = true
		if r.Known() && r < 100 && Order(r) >= 256 {
			t.Errorf("known type %s has no place in the order", r)
		}
	}
	if len(ranks) != 256 {
		t.Errorf("%d places for 256 types", len(ranks))
	}
}

// TestWhatIsWrittenIsReadBack: any records come back as they were, and the counts agree.
func TestWhatIsWrittenIsReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOf(rapid.OneOf(
			rapid.Map(rapid.MapOf(rapid.StringN(0, 300, -1), rapid.String()), func(m map[string]string) any { return m }),
			rapid.Map(rapid.SliceOf(rapid.Int64()), func(s []int64) any { return s }),
			rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 3*readBuffer), func(b []byte) any { return b }),
			rapid.Map(rapid.Uint64(), func(n uint64) any { return structs.IndexEntry{Key: "t", Value: n} }),
		)).Draw(t, "values")
		var out bytes.Buffer
		w := NewWriter(&out)
		var want []got
		offset := int64(1)
		for i, v := range values {
			typ := structs.RecordType(rapid.Uint8Range(0, 127).Draw(t, "type"))
			if err := w.WriteRecord(typ, v); err != nil {
				t.Fatal(err)
			}
			want = append(want, got{i + 1, typ, offset, string(w.value)})
			offset = w.Size()
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if w.Size() != int64(out.Len()) {
			t.Fatalf("Size() = %d of %d", w.Size(), out.Len())
		}
		list, err := readAll(bytes.NewReader(out.Bytes()), 0)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, list); diff != "" {
			t.Fatal(diff)
		}
		var records, size uint64
		for _, c := range w.Counts() {
			records += c.Records
			size += c.Bytes
		}
		if records != uint64(len(values)) || size != uint64(out.Len()-1) {
			t.Fatalf("counted %d records of %d bytes", records, size)
		}
	})
}
