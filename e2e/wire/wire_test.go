package wire

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestTheBytesOfTheFactsSheet holds this codec to the examples of docs/wire.md, so that a scenario can't pass by both sides
// being wrong in the same way.
func TestTheBytesOfTheFactsSheet(t *testing.T) {
	text := func(s string) string { return hex.EncodeToString([]byte(s)) }
	for _, tc := range []struct {
		name string
		in   any
		want string
	}{
		{"a request header", Map{"Seq": uint64(1), "ServiceMethod": "Status.Ping"}, "82a3" + text("Seq") + "01ad" + text("ServiceMethod") + "ab" + text("Status.Ping")},
		{"a response header", Map{"Error": "", "Seq": uint64(1), "ServiceMethod": "Status.Ping"},
			"83a5" + text("Error") + "a0a3" + text("Seq") + "01ad" + text("ServiceMethod") + "ab" + text("Status.Ping")},
		{"the zero time", time.Time{}, "af01" + strings.Repeat("00", 12) + "ffff"},
		{"14 November 2023", time.Unix(1700000000, 0).UTC(), "af010000000edce5e80000000000ffff"},
		{"the Unix epoch", time.Unix(0, 0).UTC(), "af010000000e7791f70000000000ffff"},
		{"200, signed", 200, "d100c8"},
		{"200, unsigned", uint64(200), "ccc8"},
		{"no bytes", []byte(nil), "c0"},
		{"bytes", []byte{1, 2}, "a20102"},
		{"a string of 32 bytes", strings.Repeat("a", 32), "da0020" + strings.Repeat("61", 32)},
		{"an empty struct", Map{}, "80"},
	} {
		if got := hex.EncodeToString(Append(nil, tc.in)); got != tc.want {
			t.Errorf("%s is %s, want %s", tc.name, got, tc.want)
		}
	}
}

func TestWhatPeersNeverWriteIsAnError(t *testing.T) {
	for name, b := range map[string]string{
		"str8": "\xd9\x01a", "bin8": "\xc4\x01a", "an extension": "\xd6\xff\x00\x00\x00\x00", "a number as a key": "\x81\x01\x01",
		"a string that is cut off": "\xa5abc", "a list that is cut off": "\x92\x01", "nothing": "", "an endless string": "\xdb\xff\xff\xff\xff",
	} {
		if v, err := Read(bufio.NewReader(strings.NewReader(b))); err == nil {
			t.Errorf("%s: read as %v", name, v)
		}
	}
}

func TestValuesComeBackAsTheyWere(t *testing.T) {
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		kinds := []*rapid.Generator[any]{
			rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.StringN(0, 70, 300).AsAny(), rapid.Int64Range(-1<<63, -1).AsAny(),
			rapid.Int64Range(0, 127).AsAny(), rapid.Uint64Range(128, 1<<63).AsAny(), rapid.Float64Range(-1e9, 1e9).AsAny(),
		}
		if depth > 0 {
			kinds = append(kinds, rapid.SliceOfN(value(depth-1), 0, 20).AsAny(), rapid.MapOfN(rapid.StringN(0, 8, 40), value(depth-1), 0, 20).AsAny())
		}
		return rapid.OneOf(kinds...)
	}
	rapid.Check(t, func(t *rapid.T) {
		in := value(2).Draw(t, "value")
		b := Append(nil, in)
		out, err := Read(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(in, out); diff != "" {
			t.Fatalf("%x: %s", b, diff)
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add(Append(nil, Map{"a": []any{1, "b", nil, true, 1.5}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := Read(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			return
		}
		again, err := Read(bufio.NewReader(bytes.NewReader(Append(nil, v))))
		if err != nil || fmt.Sprint(v) != fmt.Sprint(again) { // a number may come in a longer form than it needs
			t.Errorf("read %v, wrote it and read %v, %v", v, again, err)
		}
	})
}
