package structs

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-msgpack/v2/codec"
	"pgregory.net/rapid"
)

// drawNode fills every field of a node with something.
func drawNode(t *rapid.T) *Node {
	words := rapid.OneOf(
		rapid.String(), rapid.StringN(0, 300, 300), rapid.SampledFrom([]string{"", NodeStatusReady, NodeEligible, NodePoolDefault, "dc1"}))
	strings := rapid.Custom(func(t *rapid.T) StringMap {
		if rapid.IntRange(0, 3).Draw(t, "nil") == 0 {
			return StringMap{}
		}
		return NewStringMap(rapid.MapOfN(words, words, 0, 20).Draw(t, "map"))
	})
	raws := rapid.SampledFrom([]Raw{nil, Raw("\x80"), Raw("\x81\xa6Memory\x81\xa8MemoryMB\xcd\x10\x00"), Raw("\x93\x01\x02\x03")})
	n := &Node{}
	v := reflect.ValueOf(n).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		switch f := v.Field(i).Addr().Interface().(type) {
		case *string:
			*f = words.Draw(t, name)
		case *StringMap:
			*f = strings.Draw(t, name)
		case *Raw:
			*f = raws.Draw(t, name)
		case *bool:
			*f = rapid.Bool().Draw(t, name)
		case *uint64:
			*f = rapid.Uint64().Draw(t, name)
		case *int64:
			*f = rapid.Int64().Draw(t, name)
		case *int:
			*f = rapid.Int().Draw(t, name)
		case *time.Duration:
			*f = time.Duration(rapid.Int64().Draw(t, name))
		case *[]byte:
			*f = rapid.SampledFrom([][]byte{nil, {}, HashSecret("x")}).Draw(t, name)
		case *[]*NodeEvent:
			*f = drawEvents(t)
		case **DrainStrategy:
			*f = rapid.SampledFrom([]*DrainStrategy{nil, {DrainSpec: DrainSpec{Deadline: time.Hour}, StartedAt: time.Unix(5, 6).UTC()}}).Draw(t, name)
		case **DrainMetadata:
			*f = rapid.SampledFrom([]*DrainMetadata{nil, {Status: "complete", Meta: map[string]string{"b": "1", "a": "2"}}}).Draw(t, name)
		case **NodeAdmission:
			*f = rapid.SampledFrom([]*NodeAdmission{nil, {Pool: "edge", Class: "small"}}).Draw(t, name)
		default:
			t.Fatalf("field %s has a type that is not drawn", name)
		}
	}
	return n
}

func drawEvents(t *rapid.T) []*NodeEvent {
	if rapid.IntRange(0, 4).Draw(t, "no events") == 0 {
		return nil
	}
	zones := []*time.Location{time.UTC, time.FixedZone("", 3600), time.FixedZone("", -90*60), time.FixedZone("", 61)}
	events := make([]*NodeEvent, rapid.IntRange(0, 17).Draw(t, "events"))
	for i := range events {
		if rapid.IntRange(0, 9).Draw(t, "nil event") == 0 {
			continue
		}
		events[i] = &NodeEvent{
			Message: rapid.SampledFrom([]string{NodeRegisteredEvent, "x", ""}).Draw(t, "message"), Subsystem: rapid.String().Draw(t, "subsystem"),
			Timestamp:   time.Unix(rapid.Int64Range(-1<<33, 1<<33).Draw(t, "seconds"), 7).In(rapid.SampledFrom(zones).Draw(t, "zone")),
			CreateIndex: rapid.Uint64().Draw(t, "index"),
		}
		if rapid.Bool().Draw(t, "with details") {
			events[i].Details = rapid.MapOfN(rapid.String(), rapid.String(), 0, 4).Draw(t, "details")
		}
	}
	return events
}

func libraryBytes(t interface{ Fatal(...any) }, v any) []byte {
	var out []byte
	if err := codec.NewEncoderBytes(&out, CanonicalHandle).Encode(v); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestNodesAreWrittenAsTheLibraryDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := drawNode(t)
		ours, err := EncodeBytes(n)
		if err != nil {
			t.Fatal(err)
		}
		theirs := libraryBytes(t, (*plainNode)(n))
		if !bytes.Equal(ours, theirs) {
			t.Fatalf("bytes differ:\n%q\n%q", ours, theirs)
		}
		inside := libraryBytes(t, struct{ N *Node }{n})
		if want := append([]byte("\x81\xa1N"), ours...); !bytes.Equal(inside, want) {
			t.Fatalf("bytes differ inside of another value:\n%q\n%q", inside, want)
		}
	})
}

func TestNodesAreReadAsTheLibraryDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw, err := EncodeBytes(drawNode(t))
		if err != nil {
			t.Fatal(err)
		}
		raw = rewrite(t, raw)
		input := bytes.Clone(raw)
		var ours Node
		if err := Decode(raw, &ours); err != nil {
			t.Fatal(err)
		}
		clear(raw) // nothing may refer to it
		var theirs plainNode
		if err := Decode(input, &theirs); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff((*Node)(&theirs), &ours); diff != "" {
			t.Fatal(diff)
		}
		var inside struct{ N *Node }
		if err := Decode(append([]byte("\x81\xa1N"), input...), &inside); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&ours, inside.N); diff != "" {
			t.Fatal(diff)
		}
	})
}

// rewrite gives an encoded node what other writers do: another order of keys, keys that we don't know, fewer keys.
func rewrite(t *rapid.T, raw []byte) []byte {
	n, at, err := readMapHeader(raw)
	if err != nil {
		t.Fatal(err)
	}
	var pairs [][]byte
	for range n {
		from := at
		for range 2 {
			size, err := CheckMsgpack(raw[at:], Limits{})
			if err != nil {
				t.Fatal(err)
			}
			at += size
		}
		pairs = append(pairs, raw[from:at])
	}
	switch rapid.IntRange(0, 3).Draw(t, "rewrite") {
	case 0:
		return raw
	case 1:
		pairs = rapid.Permutation(pairs).Draw(t, "order")
	case 2:
		pairs = append(pairs[:rapid.IntRange(0, n).Draw(t, "kept")], []byte("\xa3new\x81\x01\x92\xc0\xc3"))
	case 3:
		pairs = slices.Insert(pairs, 3, []byte("\xd9\x04Name\xd9\x03str")) // as msgpack is written elsewhere
	}
	return append(appendMapHeader(nil, len(pairs)), bytes.Join(pairs, nil)...)
}

func TestANodeThatIsNotOneIsRefused(t *testing.T) {
	good, err := EncodeBytes(&Node{ID: "a", Attributes: NewStringMap(map[string]string{"k": "v"}), Events: []*NodeEvent{{Message: "m"}}})
	if err != nil {
		t.Fatal(err)
	}
	for at := range good {
		if err := Decode(good[:at], new(Node)); err == nil {
			t.Errorf("cut at byte %d it is accepted", at)
		}
	}
	if err := Decode(append(good, 0xc0), new(Node)); err == nil {
		t.Error("with a byte too many it is accepted")
	}
}

func TestANodesJSONIsThatOfItsFields(t *testing.T) {
	n := &Node{ID: "a", Attributes: NewStringMap(map[string]string{"b": "2", "a": "<1>"})}
	got, err := json.Marshal(struct{ Attributes, Meta any }{n.Attributes, n.Meta})
	if err != nil || string(got) != `{"Attributes":{"a":"\u003c1\u003e","b":"2"},"Meta":null}` {
		t.Errorf("%s, %v", got, err)
	}
}

func FuzzNode(f *testing.F) {
	for _, n := range []*Node{
		{ID: "a", Name: "n", Attributes: NewStringMap(map[string]string{"k": "v"}), SecretHash: HashSecret("s")},
		{Events: []*NodeEvent{{Message: "m", Details: map[string]string{"a": "b"}, Timestamp: time.Unix(1, 2).UTC()}}, LastDrain: &DrainMetadata{}},
	} {
		raw, err := EncodeBytes(n)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte("\x82\xa2ID\xa1a\xa2ID\xa1b"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var ours Node
		var theirs plainNode
		err, terr := Decode(raw, &ours), Decode(raw, &theirs)
		if (err == nil) != (terr == nil) {
			t.Fatalf("error %v, and the library's %v", err, terr)
		}
		if err != nil {
			return
		}
		if diff := cmp.Diff((*Node)(&theirs), &ours); diff != "" {
			t.Fatal(diff)
		}
	})
}
