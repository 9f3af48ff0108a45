package fsm

import (
	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

// numTypes is how many message types and record types there are: the eighth bit of neither is part of the number.
const numTypes = 128

// command is a row of the dispatch table. apply returns the command's result, be it an error, and an error of its
// own only if body can't be decoded.
type command struct {
	apply   func(txn *state.Txn, index uint64, body []byte) (result any, err error)
	partial bool // only a part of the entry has an effect here: it counts as skipped, too
}

type dispatchTable [numTypes]command

// commands is the dispatch table: message type to what it does.
var commands = newDispatchTable()

func newDispatchTable() *dispatchTable {
	d := &dispatchTable{}
	d.registerNodes()
	d.registerNodePools()
	d.registerFeatures()
	d.registerKeys()
	d.registerCluster()
	d.registerNamespaces()
	d.registerACLPolicies()
	d.registerACLTokens()
	d.registerACLRoles()
	d.registerDigests()
	return d
}

// register gives t a meaning: the body is decoded as an R, which apply owns. What apply returns is the entry's
// result: the error if there is one, else the value.
func register[R any](d *dispatchTable, t structs.MessageType, apply func(txn *state.Txn, index uint64, req *R) (any, error)) {
	d[t].apply = func(txn *state.Txn, index uint64, body []byte) (any, error) {
		req := new(R)
		if err := structs.Decode(body, req); err != nil {
			return nil, err
		}
		result, err := apply(txn, index, req)
		if err != nil {
			return err, nil
		}
		return result, nil
	}
}

// registerPartial is register for a type of which R is all that matters here.
func registerPartial[R any](d *dispatchTable, t structs.MessageType, apply func(txn *state.Txn, index uint64, req *R) (any, error)) {
	register(d, t, apply)
	d[t].partial = true
}

// SkippedCount is how many entries of one type had no effect, or only a part of it.
type SkippedCount struct {
	Type  structs.MessageType
	Count uint64
}

// Skipped returns what was skipped since the FSM was made, sorted by type.
func (f *FSM) Skipped() []SkippedCount {
	var list []SkippedCount
	for t := range f.skipped {
		if n := f.skipped[t].Load(); n > 0 {
			list = append(list, SkippedCount{structs.MessageType(t), n})
		}
	}
	return list
}

// skip counts an entry and logs the 1st, 10th, 100th ... of its type.
func (f *FSM) skip(t structs.MessageType, index uint64) {
	n := f.skipped[t].Add(1)
	for p := uint64(1); p <= n; p *= 10 {
		if p == n {
			f.logger.Warn("log entries of this type have no effect here", "type", t.String(), "skipped", n, "index", index)
		}
	}
}
