package structs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
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
		ours, err := EncodeBytes(&fast{NewStringMap(m)})
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
		if diff := cmp.Diff(m, f.M.Map()); diff != "" {
			t.Fatal(diff)
		}
		if f.M != NewStringMap(m) {
			t.Fatal("equal maps are not equal under ==")
		}
		for k, v := range m {
			if got, ok := f.M.Lookup(k); got != v || !ok {
				t.Fatalf("key %q has %q (%v), want %q", k, got, ok, v)
			}
		}
		absent := rapid.String().Draw(t, "absent")
		if _, want := m[absent]; f.M.Len() != len(m) || f.M.Get(absent) != m[absent] || want != second(f.M.Lookup(absent)) {
			t.Fatalf("%d entries, want %d; key %q has %q", f.M.Len(), len(m), absent, f.M.Get(absent))
		}
		again, err := EncodeBytes(&f)
		if err != nil || !bytes.Equal(ours, again) {
			t.Fatalf("equal maps have other bytes: %v", err)
		}
	})
}

func second[A, B any](_ A, b B) B { return b }

func TestStringMapShowsLikeAnyOtherMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "<&>", "é", "", "z"}), rapid.String(), 0, 6).Draw(t, "map")
		if rapid.Bool().Draw(t, "nil") {
			m = nil
		}
		want, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(NewStringMap(m))
		if err != nil || !bytes.Equal(want, got) {
			t.Fatalf("%s (%v), want %s", got, err, want)
		}
		var again StringMap
		if err := json.Unmarshal(got, &again); err != nil || again != NewStringMap(m) {
			t.Fatalf("read back as %v: %v", again, err)
		}
		key, value := rapid.SampledFrom([]string{"a", "m", "z"}).Draw(t, "key"), rapid.String().Draw(t, "value")
		with := maps.Clone(m)
		if with == nil {
			with = map[string]string{}
		}
		with[key] = value
		if now := again.With(key, value); now != NewStringMap(with) || again != NewStringMap(m) {
			t.Fatalf("with %q: %v, from %v", key, now, again)
		}
		delete(with, key)
		if now := again.With(key, value).Without(key); !now.Equal(NewStringMap(with)) {
			t.Fatalf("without %q: %v", key, now)
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
		{"nil", "\xc0", StringMap{}, ""},
		{"empty", "\x80", NewStringMap(map[string]string{}), ""},
		{"short forms", "\x81\xa1a\xa1b", NewStringMap(map[string]string{"a": "b"}), ""},
		{"str8 and bin8", "\x81\xd9\x01a\xc4\x01b", NewStringMap(map[string]string{"a": "b"}), ""},
		{"str16 and bin16", "\x81\xda\x00\x01a\xc5\x00\x01b", NewStringMap(map[string]string{"a": "b"}), ""},
		{"str32 and bin32", "\x81\xdb\x00\x00\x00\x01a\xc6\x00\x00\x00\x01b", NewStringMap(map[string]string{"a": "b"}), ""},
		{"map16", "\xde\x00\x01\xa1a\xa1b", NewStringMap(map[string]string{"a": "b"}), ""},
		{"map32", "\xdf\x00\x00\x00\x01\xa1a\xa1b", NewStringMap(map[string]string{"a": "b"}), ""},
		{"a value of nil", "\x81\xa1a\xc0", NewStringMap(map[string]string{"a": ""}), ""},
		{"a key twice", "\x82\xa1a\xa1b\xa1a\xa1c", NewStringMap(map[string]string{"a": "c"}), ""},
		{"a number for a value", "\x81\xa1a\x07", StringMap{}, `value of "a": it is not a string`},
		{"a number for a key", "\x81\x07\xa1a", StringMap{}, "key 0: it is not a string"},
		{"a list", "\x91\xa1a", StringMap{}, "it is not a map but begins with byte 0x91"},
		{"a long value", "\x81\xa1a\xdb\x00\x01\x11\x70" + long, NewStringMap(map[string]string{"a": long}), ""},
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
			if c.want != got.M {
				t.Errorf("got %v, want %v", got.M, c.want)
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
		if diff := cmp.Diff(theirs.M, ours.M.Map(), cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func BenchmarkNodeCodec(b *testing.B) {
	n := &Node{ID: "00000000-0000-0000-0000-000000000001", Name: "n", Datacenter: "dc1", Meta: NewStringMap(map[string]string{"rack": "1"})}
	for i := range 44 {
		n.Attributes = n.Attributes.With(fmt.Sprintf("unique.attr.%d", i), fmt.Sprintf("value-%d", i))
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
