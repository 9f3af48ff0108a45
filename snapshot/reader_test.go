package snapshot

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

func TestReaderReturnsEveryRecordWithItsPlace(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3*readBuffer)
	in := stream("\x02\x81\xa1k\x07", "\x00\xc0", "\x7f\xdb\x00\x03\x00\x00"+long, "\x1c\x90")
	want := []got{
		{1, structs.IndexRecord, 1, "\x81\xa1k\x07"},
		{2, structs.NodeRecord, 6, "\xc0"},
		{3, 127, 8, "\xdb\x00\x03\x00\x00" + long},
		{4, structs.NodePoolRecord, int64(8 + 1 + 5 + len(long)), "\x90"},
	}
	for name, src := range map[string]io.Reader{
		"all at once":           bytes.NewReader(in),
		"one byte at a time":    iotest.OneByteReader(bytes.NewReader(in)),
		"half of what it asks":  iotest.HalfReader(bytes.NewReader(in)),
		"data with its last io": iotest.DataErrReader(bytes.NewReader(in)),
	} {
		list, err := readAll(src, 0)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, list); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

func TestReaderNamesEveryFaultAndItsPlace(t *testing.T) {
	t.Parallel()
	good := "\x02\x81\xa1k\x07" // 5 bytes
	boom := errors.New("disk on fire")
	cases := []struct {
		name   string
		in     []byte
		src    io.Reader // instead of in
		max    int
		number int
		typ    structs.RecordType
		offset int64
		want   error
		text   string
	}{
		{name: "an empty stream has no header", in: nil, want: structs.ErrTruncated, text: "snapshot header at byte 0"},
		{name: "a header that is a string is no snapshot", in: []byte("\xa1x"), want: ErrBadHeader},
		{name: "a gzip file is no snapshot", in: []byte("\x1f\x8b\x08\x00"), want: ErrBadHeader, text: "0x1f"},
		{name: "a header map that is cut off", in: []byte("\x81\xa1"), want: structs.ErrTruncated},
		{name: "a header map with a bad key", in: []byte("\x81\xc1\xc0"), want: structs.ErrBadByte},
		{name: "a type byte and nothing after it", in: stream(good, "\x00"), number: 2, typ: 0, offset: 6, want: structs.ErrTruncated, text: "snapshot record 2 (Node, type 0) at byte 6"},
		{name: "a value cut off in a string", in: stream(good, "\x1c\xa5abc"), number: 2, typ: 28, offset: 6, want: structs.ErrTruncated, text: "(NodePool, type 28)"},
		{name: "a value cut off in a map", in: stream(good, good, "\x1e\x82\xa1k"), number: 3, typ: 30, offset: 11, want: structs.ErrTruncated},
		{name: "a value cut off in a length field", in: stream("\x0d\xdb\x00\x00"), number: 1, typ: 13, offset: 1, want: structs.ErrTruncated},
		{name: "a string that claims four gigabytes", in: stream(good, "\x0d\xdb\xff\xff\xff\xff"), number: 2, typ: 13, offset: 6, want: structs.ErrTooLarge},
		{name: "an array that claims four thousand million values", in: stream("\x0d\xdd\xff\xff\xff\xff\xc0"), number: 1, typ: 13, offset: 1, want: structs.ErrTooLarge},
		{name: "a map that claims more values than the limit", in: stream("\x0d\xdd\x00\x50\x00\x00\xc0"), number: 1, typ: 13, offset: 1, want: structs.ErrTooManyValues},
		{name: "a value longer than the reader's own limit", in: stream(good, "\x0d\xaa0123456789"), max: 10, number: 2, typ: 13, offset: 6, want: structs.ErrTooLarge},
		{name: "arrays in arrays without end", in: stream(good, "\x05"+strings.Repeat("\x91", 100)), number: 2, typ: 5, offset: 6, want: structs.ErrTooDeep},
		{name: "a byte that starts no value", in: stream(good, "\x00\xc1"), number: 2, typ: 0, offset: 6, want: structs.ErrBadByte},
		{name: "a type that no writer uses", in: stream(good, "\x80\xc0"), number: 2, typ: 128, offset: 6, want: ErrBadType, text: "unknown(128)"},
		{name: "a source that fails within a record", src: io.MultiReader(bytes.NewReader(stream(good, "\x00\xa5a")), iotest.ErrReader(boom)), number: 2, typ: 0, offset: 6, want: boom},
		{name: "a source that fails in the header", src: iotest.ErrReader(boom), want: boom},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			src := c.src
			if src == nil {
				src = iotest.OneByteReader(bytes.NewReader(c.in))
			}
			list, err := readAll(src, c.max)
			var at *RecordError
			if !errors.As(err, &at) || !errors.Is(err, c.want) {
				t.Fatalf("got %v, want a RecordError with %v", err, c.want)
			}
			if at.Number != c.number || at.Type != c.typ || at.Offset != c.offset {
				t.Errorf("at record %d, type %d, byte %d; want %d, %d, %d", at.Number, at.Type, at.Offset, c.number, c.typ, c.offset)
			}
			if !strings.Contains(err.Error(), c.text) {
				t.Errorf("%q does not say %q", err, c.text)
			}
			if len(list) != max(0, c.number-1) {
				t.Errorf("%d records before the fault", len(list))
			}
		})
	}
}

func TestReaderTellsASourceFailureFromTheEnd(t *testing.T) {
	t.Parallel()
	boom := errors.New("connection reset")
	_, err := readAll(io.MultiReader(bytes.NewReader(stream("\x00\xc0")), iotest.ErrReader(boom)), 0)
	if !errors.Is(err, boom) || !strings.Contains(err.Error(), "after record 1 at byte 3") {
		t.Errorf("got %v", err)
	}
	if _, err := readAll(idle{}, 0); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a source that returns nothing: got %v", err)
	}
	if _, err := readAll(liar{}, 0); err == nil || !strings.Contains(err.Error(), "impossible count") {
		t.Errorf("a source that claims more than fits: got %v", err)
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

type liar struct{}

func (liar) Read(p []byte) (int, error) { return len(p) + 1, nil }

func TestReaderRepeatsItsError(t *testing.T) {
	t.Parallel()
	r := NewReader(bytes.NewReader(stream("\x00\xc1", "\x00\xc0")))
	_, first := r.Next()
	if _, again := r.Next(); again != first || first == nil { //nolint:errorlint // the very same error
		t.Errorf("first %v, then %v", first, again)
	}
	r = NewReader(bytes.NewReader(stream()))
	for range 2 {
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("got %v", err)
		}
	}
}

func TestReaderSkipsAHeaderThatHasContent(t *testing.T) {
	t.Parallel()
	list, err := readAll(strings.NewReader("\x81\xa3new\xa3key"+"\x00\xc0"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]got{{1, structs.NodeRecord, 9, "\xc0"}}, list); diff != "" {
		t.Error(diff)
	}
}

func TestReaderTakesNoMemoryForAClaimedLength(t *testing.T) {
	t.Parallel()
	r := NewReader(bytes.NewReader(stream("\x00\xdb\x03\x00\x00\x00only this")))
	if _, err := r.Next(); !errors.Is(err, structs.ErrTruncated) {
		t.Fatal(err)
	}
	if len(r.buf) > readBuffer {
		t.Errorf("%d bytes of buffer for a record of 15", len(r.buf))
	}
	endless := &repeating{head: bytes.NewReader(stream("\x00\xdd\x00\x10\x00\x00")), fill: 0x91}
	if _, err := NewReader(endless).Next(); !errors.Is(err, structs.ErrTooDeep) {
		t.Fatal(err)
	}
	if endless.read > 2*readBuffer {
		t.Errorf("read %d bytes of an endless source before it refused them", endless.read)
	}
}

func TestReaderMemoryFollowsTheLongestRecordNotTheStream(t *testing.T) {
	t.Parallel()
	var in bytes.Buffer
	in.WriteByte(header)
	for range 500 {
		in.WriteString("\x01\xda\x27\x10" + strings.Repeat("j", 10000))
	}
	r := NewReader(&in)
	n := 0
	for {
		if _, err := r.Next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 500 || len(r.buf) != readBuffer {
		t.Errorf("%d records through a buffer of %d bytes", n, len(r.buf))
	}
}

// FuzzReader: however its source delivers the bytes, a Reader finds the same records and a fault in the same place, they
// account for every byte, and what it has found can be written again to the same bytes.
func FuzzReader(f *testing.F) {
	f.Add([]byte("\x80"))
	f.Add(stream("\x02\x81\xa1k\x07", "\x00\xc0", "\x1c\x90"))
	f.Add(stream("\x00\xdb\xff\xff\xff\xff"))
	f.Add(stream("\x00\xdd\x00\x10\x00\x00\x91\x91"))
	f.Add([]byte("\x81\xa1a\xa1b\x00\xc0"))
	f.Add(stream("\x05\xc7\x00\x01", "\xff\xc0"))
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 1 << 16
		whole, err := readAll(bytes.NewReader(in), limit)
		bytewise, errBytewise := readAll(iotest.OneByteReader(bytes.NewReader(in)), limit)
		if diff := cmp.Diff(whole, bytewise); diff != "" {
			t.Fatal(diff)
		}
		// Of two faults in one value, such as cut off within a bad one, either may be named.
		var at, atBytewise *RecordError
		if errors.As(err, &at) != (err != nil) || errors.As(errBytewise, &atBytewise) != (err != nil) {
			t.Fatalf("at once: %v; bytewise: %v", err, errBytewise)
		}
		if at != nil && (at.Number != atBytewise.Number || at.Type != atBytewise.Type || at.Offset != atBytewise.Offset) {
			t.Fatalf("at once: %v; bytewise: %v", err, errBytewise)
		}
		if err != nil && len(whole) == 0 {
			return
		}
		var out bytes.Buffer
		w := NewWriter(&out)
		for _, rec := range whole {
			if err := w.WriteRaw(rec.Type, []byte(rec.Raw)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if err == nil && !bytes.HasSuffix(in, out.Bytes()[1:]) {
			t.Fatal("records don't account for the stream")
		}
	})
}
