package replay

import "fmt"

// Kinds of problems.
const (
	KindGap       = "gap"       // entries are missing
	KindDamaged   = "damaged"   // an entry, or a page of the file, can't be read
	KindFuture    = "future"    // an entry is of a type that no version known to this one writes
	KindUnordered = "unordered" // terms go backwards
	KindTorn      = "torn"      // the file was cut off
	KindDiverged  = "diverged"  // the state is not the one that the leader had
)

// Problem is something wrong with a log.
type Problem struct {
	Kind  string
	Index uint64 `json:",omitempty"` // the entry, or the last one before it that could be read
	Type  string `json:",omitempty"` // message type, where it is known
	What  string
}

// Error says where and what.
func (p *Problem) Error() string {
	where := ""
	switch {
	case p.Index > 0 && p.Type != "":
		where = fmt.Sprintf(" at entry %d (%s)", p.Index, p.Type)
	case p.Index > 0:
		where = fmt.Sprintf(" at entry %d", p.Index)
	}
	return fmt.Sprintf("%s%s: %s", p.Kind, where, p.What)
}
