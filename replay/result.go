package replay

import (
	"time"

	"github.com/rollcall-id/rollcall/snapshot"
	"github.com/rollcall-id/rollcall/state"
)

// State is the state at the end.
func (r *Result) State() *state.Store { return r.state }

// Result is what a replay came to.
type Result struct {
	Path              string
	Batch             int
	KeepGoing         bool
	Snapshot          *SnapshotUsed `json:",omitempty"` // nil if it went from the start
	UnusableSnapshots []*Snapshot   `json:",omitempty"` // newer than the one used

	First, LastIndex, LastTerm uint64 // First is 0 if the log had nothing after the snapshot
	Entries                    uint64 // applied, whatever came of it
	Types                      []TypeCount
	OtherLogTypes              []Count    // entries that are no commands
	Failed                     uint64     // commands that the state refused, as it did when they were first applied
	Failures                   []Failure  `json:",omitempty"` // the first hundred
	Problems                   []*Problem `json:",omitempty"`
	MoreProblems               int        `json:",omitempty"`
	Backfills                  Backfills

	ConfigurationIndex uint64
	Configuration      []Server

	RestoreSeconds, ReplaySeconds, EntriesPerSecond float64

	Digest string // of the state, in hexadecimal

	state         *state.Store
	configuration snapshot.Configuration
	at            time.Time // when the last entry was appended, or the snapshot taken
}

// SnapshotUsed is the snapshot from which a replay started.
type SnapshotUsed struct {
	ID          string
	Index, Term uint64
	Records     []Count // loaded
	Opaque      []Count `json:",omitempty"` // kept as they came
	Discarded   []Count `json:",omitempty"` // of types without a use any more
}

// TypeCount is what became of the entries of one message type. A skipped entry has no effect here, or only in part; an
// undecodable one is a Problem.
type TypeCount struct {
	Type                                           string
	Number                                         uint8
	Entries, Applied, Failed, Skipped, Undecodable uint64
}

// Failure is a command that the state refused.
type Failure struct {
	Index uint64
	Type  string
	Error string
}

// Backfills is what was brought up to date, in the snapshot and in the log.
type Backfills struct {
	SnapshotPools   int // pools without an identity TTL, which got the default
	SnapshotSecrets int // nodes with their secret ID in clear, which became its hash
	LogPools        int // pools written without an identity TTL
	LogCreatedPools int // pools that a registration created, with the default TTL
	LogSecrets      int // registrations with the secret ID in clear
}

func (r *Result) problem(p *Problem) {
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, p)
	} else {
		r.MoreProblems++
	}
}

// recordCounts is counts as they are shown, by type number.
func recordCounts(counts []snapshot.Count) []Count {
	list := make([]Count, 0, len(counts))
	for _, c := range counts {
		list = append(list, Count{Type: c.Type.String(), Number: uint8(c.Type), Entries: c.Records, Bytes: c.Bytes})
	}
	return list
}
