package structs

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// plain is what StringMap must not be told from on the wire.
type plain struct{ M map[string]string }

type fast struct{ M StringMap }

func TestStringMapIsAMapLikeAnyOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.MapOfN(rapid.OneOf(rapid.String(), rapid.StringN(0, 40, 300)), rapid.String(), 0, 40).Draw(t, "map")
		if rapid.Bool().Draw(t, "nil") {
			m = nil
		}
		ours, err := EncodeBytes(&fast{m})
		if err != nil {
			t.Fatal(err)
		}
		var p plain
		if err := Decode(ours, &p); err != nil {
			t.Fatalf("the library does not read what we wrote: %v", err)
		}
		if diff := cmp.Diff(m, p.M); diff != "" {
			t.Fatal(diff)
		}
		theirs, err := EncodeBytes(&plain{m})
		if err != nil {
			t.Fatal(err)
		}
		var f fast
		if err := Decode(theirs, &f); err != nil {
			t.Fatalf("we don't read what the library wrote: %v", err)
		}
		if diff := cmp.Diff(StringMap(m), f.M); diff != "" {
			t.Fatal(diff)
		}
		again, err := EncodeBytes(&f)
		if err != nil || !bytes.Equal(ours, again) {
			t.Fatalf("equal maps have other bytes: %v", err)
		}
	})
}

func TestStringMapTakesEveryFormOfAString(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	for _, c := range []struct {
		name string
		raw  string
		want StringMap
		err  string
	}{
		{"nil", "\xc0", nil, ""},
		{"empty", "\x80", StringMap{}, ""},
		{"short forms", "\x81\xa1a\xa1b", StringMap{"a": "b"}, ""},
		{"str8 and bin8", "\x81\xd9\x01a\xc4\x01b", StringMap{"a": "b"}, ""},
		{"str16 and bin16", "\x81\xda\x00\x01a\xc5\x00\x01b", StringMap{"a": "b"}, ""},
		{"str32 and bin32", "\x81\xdb\x00\x00\x00\x01a\xc6\x00\x00\x00\x01b", StringMap{"a": "b"}, ""},
		{"map16", "\xde\x00\x01\xa1a\xa1b", StringMap{"a": "b"}, ""},
		{"map32", "\xdf\x00\x00\x00\x01\xa1a\xa1b", StringMap{"a": "b"}, ""},
		{"a value of nil", "\x81\xa1a\xc0", StringMap{"a": ""}, ""},
		{"a key twice", "\x82\xa1a\xa1b\xa1a\xa1c", StringMap{"a": "c"}, ""},
		{"a number for a value", "\x81\xa1a\x07", nil, `value of "a": it is not a string`},
		{"a number for a key", "\x81\x07\xa1a", nil, "key 0: it is not a string"},
		{"a list", "\x91\xa1a", nil, "it is not a map but begins with byte 0x91"},
		{"a long value", "\x81\xa1a\xdb\x00\x01\x11\x70" + long, StringMap{"a": long}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got fast
			err := Decode([]byte("\x81\xa1M"+c.raw), &got)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got.M); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzStringMap(f *testing.F) {
	f.Add([]byte("\x81\xa1a\xa1b"))
	f.Add([]byte("\xdf\xff\xff\xff\xff"))
	f.Add([]byte("\x81\xda\xff\xffa"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := CheckMsgpack(raw, Limits{}); err != nil {
			_, _ = parseStringMap(raw) // must not panic all the same
			return
		}
		var ours fast
		var theirs plain
		wrapped := append([]byte("\x81\xa1M"), raw...)
		err := Decode(wrapped, &ours)
		if err != nil {
			return // we are stricter with what is no string
		}
		if terr := Decode(wrapped, &theirs); terr != nil {
			t.Fatalf("we read what the library does not: %v", terr)
		}
		if diff := cmp.Diff(StringMap(theirs.M), ours.M, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func BenchmarkNodeCodec(b *testing.B) {
	n := &Node{ID: "00000000-0000-0000-0000-000000000001", Name: "n", Datacenter: "dc1", Attributes: StringMap{}, Meta: StringMap{"rack": "1"}}
	for i := range 44 {
		n.Attributes[fmt.Sprintf("unique.attr.%d", i)] = fmt.Sprintf("value-%d", i)
	}
	raw, err := EncodeBytes(n)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := EncodeBytes(n); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := Decode(raw, new(Node)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
