package fsm

import (
	"fmt"
	"testing"

	"github.com/rollcall-id/rollcall/internal/doctable"
	"github.com/rollcall-id/rollcall/structs"
)

const compatibility = "../docs/compatibility.md"

// firstOwn is the first number of those that are ours, of both kinds.
const firstOwn = 100

// wantState is what the table must say of a number, from what the code does with it.
func wantState(t *testing.T, name string, number int, row doctable.Row, applied, partly bool) {
	t.Helper()
	ok := false
	switch {
	case !applied:
		ok = row.State == doctable.NotHere
	case partly:
		ok = row.State == doctable.Differs
	case number >= firstOwn:
		ok = row.State == doctable.Ours
	default:
		ok = row.State == doctable.Same || row.State == doctable.Differs
	}
	if !ok {
		t.Errorf("%s is %q in the table; applied %v, only a part of it %v", name, row.State, applied, partly)
	}
}

func TestTheCompatibilityTableHasEveryMessageType(t *testing.T) {
	rows := doctable.Read(t, compatibility, "## Raft log")
	var code []string
	for i := range numTypes {
		m := structs.MessageType(i)
		if !m.Known() {
			continue
		}
		name := fmt.Sprintf("%d %s", i, m)
		code = append(code, name)
		wantState(t, name, i, rows[name], commands[i].apply != nil, commands[i].partial)
	}
	doctable.Compare(t, rows, code, 70)
	if len(rows) != len(code) {
		t.Errorf("the table has %d types, the code %d", len(rows), len(code))
	}
}

func TestTheCompatibilityTableHasEveryRecordType(t *testing.T) {
	rows := doctable.Read(t, compatibility, "## Snapshots")
	var code []string
	for i := range numTypes {
		r := structs.RecordType(i)
		if !r.Known() {
			continue
		}
		name := fmt.Sprintf("%d %s", i, r)
		code = append(code, name)
		wantState(t, name, i, rows[name], loaders[i] != nil || discarded[i], discarded[i])
	}
	doctable.Compare(t, rows, code, 35)
	if len(rows) != len(code) {
		t.Errorf("the table has %d types, the code %d", len(rows), len(code))
	}
}
