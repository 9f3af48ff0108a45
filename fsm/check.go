package fsm

import (
	"github.com/rollcall-id/rollcall/snapshot"
	"github.com/rollcall-id/rollcall/state"
)

// checkedTogether bounds how many records a Checker holds in memory.
const checkedTogether = 1024

// Checker tells of each record of a stream whether a restore would take it, without building the state: it loads
// the records a few at a time and lets go of them again. The zero value is ready; it is used by one goroutine.
type Checker struct {
	scratch *state.Restore
	loaded  int
}

// Record reports what is wrong with the record, naming its number and offset.
func (c *Checker) Record(rec snapshot.Record) error {
	if c.scratch == nil || c.loaded >= checkedTogether {
		c.Close()
		c.scratch, c.loaded = state.New().Rehearse(), 0
	}
	c.loaded++
	decoded, err := decodeRecord(rec)
	if err != nil {
		return err
	}
	if err := decoded.load(c.scratch); err != nil {
		return rec.Fail(err)
	}
	return nil
}

// Close lets go of what is held. The Checker can be used again.
func (c *Checker) Close() {
	if c.scratch != nil {
		c.scratch.Abort()
		c.scratch = nil
	}
}
