package fsm

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/structs"
)

func TestKnownTypesWithoutAMeaningAreSkippedAndCounted(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	f := New(Config{Logger: hclog.New(&hclog.LoggerOptions{Output: &log}), OnFatal: func(err error) { t.Error(err) }})
	before := digest(t, f)
	var want []SkippedCount
	index := uint64(10)
	for i := range numTypes {
		typ := structs.MessageType(i)
		if !typ.Known() || commands[typ].apply != nil {
			continue
		}
		// What follows the type is not looked at: it may be of any version.
		for range 3 {
			if res := f.Apply(rawEntry(index, byte(i), 0xc1, 0xff)); res != nil {
				t.Errorf("%s: %v", typ, res)
			}
			index++
		}
		want = append(want, SkippedCount{typ, 3})
	}
	if diff := cmp.Diff(want, f.Skipped()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if digest(t, f) != before {
		t.Error("skipping changed the state")
	}
	if lines := strings.Count(log.String(), "\n"); lines != len(want) {
		t.Errorf("%d lines of log for %d types", lines, len(want))
	}
}

func TestSkippingManyIsLoggedRarely(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	f := New(Config{Logger: hclog.New(&hclog.LoggerOptions{Output: &log})})
	for i := range 2500 {
		f.Apply(rawEntry(uint64(i+2), byte(structs.EvalUpdateMsg), 0x80))
	}
	if n := strings.Count(log.String(), "type=EvalUpdate"); n != 4 {
		t.Errorf("%d lines, want those of the 1st, 10th, 100th and 1000th:\n%s", n, &log)
	}
}

func TestTheIgnoreBitLetsUnknownTypesPass(t *testing.T) {
	t.Parallel()
	f := New(Config{OnFatal: func(err error) { t.Error(err) }})
	for _, typ := range []structs.MessageType{63, 66, 78, 99, 126, 127} {
		if res := f.Apply(rawEntry(10, byte(typ|structs.IgnoreUnknownFlag))); res != nil {
			t.Errorf("type %d: %v", typ, res)
		}
	}
	if got := f.Skipped(); len(got) != 6 || got[0] != (SkippedCount{63, 1}) {
		t.Errorf("skipped %v", got)
	}
}

func TestTheIgnoreBitDoesNotHideAKnownType(t *testing.T) {
	t.Parallel()
	f := New(Config{})
	e := entry(t, 10, structs.NodeRegisterMsg, registration(1, 1))
	e.Data[0] |= byte(structs.IgnoreUnknownFlag)
	if res := f.Apply(e); res != nil || f.State().NodeCount() != 1 {
		t.Errorf("%v, %d nodes", res, f.State().NodeCount())
	}
	if res := f.Apply(rawEntry(11, byte(structs.JobRegisterMsg|structs.IgnoreUnknownFlag))); res != nil {
		t.Error(res)
	}
	if res := f.Apply(rawEntry(12, byte(structs.NodeRegisterMsg|structs.IgnoreUnknownFlag), 0xc1)); !errors.Is(res.(error), ErrDamagedEntry) {
		t.Errorf("a damaged body with the bit: %v", res)
	}
}

func TestAnEntryNobodyUnderstandsStopsTheFSMForGood(t *testing.T) {
	t.Parallel()
	secret := "5ec4e7aa-0000-4000-8000-000000005ec4"
	good := func(index uint64) *raft.Log {
		return entry(t, index, structs.NodeRegisterMsg, registration(int(index), 1))
	}
	truncated := entry(t, 12, structs.NodeRegisterMsg, &structs.NodeRegisterRequest{Node: &structs.Node{ID: uuid(1), SecretID: secret}})
	truncated.Data = truncated.Data[:len(truncated.Data)-3]
	mistyped, err := structs.Encode(structs.NodeUpdateStatusMsg, map[string]any{"NodeID": uuid(1), "UpdatedAt": secret})
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name string
		bad  *raft.Log
		want error
		text string
	}{
		{"no data at all", rawEntry(12), ErrDamagedEntry, "entry 12"},
		{"a type that no version has", rawEntry(12, 63, 0x80), ErrUnknownEntry, "unknown(63)"},
		{"a type from the future", rawEntry(12, 126, 0x80), ErrUnknownEntry, "written by a newer version or is damaged"},
		{"a type without its body", rawEntry(12, 0), ErrDamagedEntry, "NodeRegister (0)"},
		{"a body that is cut off", truncated, ErrDamagedEntry, "NodeRegister (0)"},
		{"a body followed by something", rawEntry(12, 2, 0x80, 0x80), ErrDamagedEntry, "NodeUpdateStatus (2)"},
		{"a body that is no map", rawEntry(12, 59, 0xa3, 'a', 'b', 'c'), ErrDamagedEntry, "NodePoolUpsert"},
		{"a field of another type", &raft.Log{Index: 12, Data: mistyped}, ErrDamagedEntry, "NodeUpdateStatus"},
		{"a partial meaning and no body", rawEntry(12, 50), ErrDamagedEntry, "VarApplyState"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var fatal []error
			f := New(Config{OnFatal: func(err error) { fatal = append(fatal, err) }})
			results := f.ApplyBatch([]*raft.Log{good(10), {Index: 11, Type: raft.LogNoop}, c.bad, good(13), {Index: 14, Type: raft.LogNoop}})
			if results[0] != nil || results[1] != nil {
				t.Errorf("what came before: %v", results[:2])
			}
			if node(t, f, uuid(10)); f.State().NodeCount() != 1 {
				t.Errorf("%d nodes: what came before must be applied and nothing after", f.State().NodeCount())
			}
			var at *LogError
			if len(fatal) != 1 || !errors.Is(fatal[0], c.want) || !errors.As(fatal[0], &at) || at.Index != 12 {
				t.Fatalf("OnFatal got %v", fatal)
			}
			if text := fatal[0].Error(); !strings.Contains(text, c.text) || strings.Contains(text, secret) {
				t.Errorf("%q: want %q in it, and no secret", text, c.text)
			}
			after := append(results[2:], f.Apply(good(15)))
			after = append(after, f.ApplyBatch([]*raft.Log{good(16), rawEntry(17)})...)
			for i, res := range after {
				if res != fatal[0] { //nolint:errorlint // the very same error
					t.Errorf("result %d after it: %v", i, res)
				}
			}
			if f.State().NodeCount() != 1 || len(fatal) != 1 || f.Err() != fatal[0] { //nolint:errorlint // the very same error
				t.Errorf("%d nodes, OnFatal called %d times, Err %v", f.State().NodeCount(), len(fatal), f.Err())
			}
			if _, err := f.Snapshot(); !errors.Is(err, c.want) {
				t.Errorf("a stopped FSM made a snapshot: %v", err)
			}
			if err := f.Restore(io.NopCloser(strings.NewReader("\x80"))); !errors.Is(err, c.want) || f.State().NodeCount() != 1 {
				t.Errorf("a stopped FSM restored: %v", err)
			}
		})
	}
}

func TestWithoutOnFatalTheReasonIsLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	f := New(Config{Logger: hclog.New(&hclog.LoggerOptions{Output: &log})})
	f.Apply(rawEntry(7, 63))
	if !strings.Contains(log.String(), "[ERROR]") || !strings.Contains(log.String(), "entry 7") {
		t.Errorf("log: %s", &log)
	}
}
