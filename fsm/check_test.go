package fsm

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/rollcall-id/rollcall/snapshot"
	"github.com/rollcall-id/rollcall/structs"
)

// check reads a stream through a Checker.
func check(t *testing.T, stream []byte) error {
	t.Helper()
	var c Checker
	defer c.Close()
	in := snapshot.NewReader(bytes.NewReader(stream))
	for {
		rec, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Record(rec); err != nil {
			return err
		}
	}
}

func TestCheckerTakesWhatARestoreTakesAndRefusesWhatItRefuses(t *testing.T) {
	write := func(records ...any) []byte {
		var buf bytes.Buffer
		w := snapshot.NewWriter(&buf)
		for _, r := range records {
			kind := structs.NodeRecord
			if _, ok := r.(*structs.NodePool); ok {
				kind = structs.NodePoolRecord
			}
			if err := w.WriteRecord(kind, r); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		return buf.Bytes()
	}
	many := make([]any, 0, 3*checkedTogether)
	for range cap(many) {
		many = append(many, &structs.Node{ID: "n", NodePool: "default"})
	}
	for _, c := range []struct {
		name   string
		stream []byte
		ok     bool
	}{
		{"an empty stream", write(), true},
		{"more records than are held at once", write(many...), true},
		{"a pool without a TTL", write(&structs.NodePool{Name: "p"}), true},
		{"a pool with a negative TTL", write(&structs.NodePool{Name: "p", NodeIdentityTTL: -1}), false},
		{"a bad record after many good ones", write(append(many, &structs.NodePool{Name: "p", NodeIdentityTTL: -1})...), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := check(t, c.stream)
			if (err == nil) != c.ok {
				t.Errorf("checker: %v", err)
			}
			if _, _, rerr := ReadState(bytes.NewReader(c.stream)); (rerr == nil) != (err == nil) {
				t.Errorf("checker says %v, restore says %v", err, rerr)
			}
			var where *snapshot.RecordError
			if err != nil && !errors.As(err, &where) {
				t.Errorf("error %v does not say which record", err)
			}
		})
	}
}
