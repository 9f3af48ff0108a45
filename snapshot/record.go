package snapshot

import (
	"errors"
	"fmt"
	"slices"

	"github.com/rollcall-id/rollcall/structs"
)

// header is an empty msgpack map.
const header = 0x80

// firstInvalidType is the lowest type byte that no writer uses (wire.md §7.2).
const firstInvalidType structs.RecordType = 128

// MaxRecordBytes is the longest value of a record, in bytes, that is written, or read unless a Reader is told
// otherwise. Real records stay under 1 MiB; allocations and job versions are the longest.
const MaxRecordBytes = 64 << 20

// maxRecordValues bounds the msgpack values in one record, since a decoded value can take far more memory than
// its one byte in the stream.
const maxRecordValues = 4 << 20

var (
	// ErrBadHeader: the stream does not begin with a msgpack map; it is not the state of a snapshot.
	ErrBadHeader = errors.New("not a snapshot's record stream: it does not begin with a msgpack map")
	// ErrBadType: a type byte that no writer uses. The stream is damaged from there on, or before.
	ErrBadType = errors.New("invalid record type")
)

// Record is one record of a stream.
type Record struct {
	Number int // counted from 1
	Type   structs.RecordType
	Offset int64  // of the type byte, in bytes from the start of the stream
	Raw    []byte // the msgpack value; valid until the next call of Next
}

// Fail returns err with the record's place in the stream, for a value that its reader can't accept.
func (r Record) Fail(err error) error {
	return &RecordError{Number: r.Number, Type: r.Type, Offset: r.Offset, Err: err}
}

// RecordError says at which record of a stream something was wrong. Trying again does not help.
type RecordError struct {
	Number int                // counted from 1; 0 is the header
	Type   structs.RecordType // meaningless for the header
	Offset int64              // of the record's type byte, or of the header, in bytes from the start of the stream
	Err    error
}

// Error names the record; offsets in Err count from the start of the record's value.
func (e *RecordError) Error() string {
	if e.Number == 0 {
		return fmt.Sprintf("snapshot header at byte %d: %v", e.Offset, e.Err)
	}
	return fmt.Sprintf("snapshot record %d (%s, type %d) at byte %d: %v", e.Number, e.Type, uint8(e.Type), e.Offset, e.Err)
}

// Unwrap returns what was wrong.
func (e *RecordError) Unwrap() error { return e.Err }

// Count is how much of a stream is records of one type.
type Count struct {
	Type    structs.RecordType
	Records uint64
	Bytes   uint64 // type bytes included
}

// Counts adds up records by type. The zero value is ready for use.
type Counts struct {
	byType [256]Count
}

// Add counts one record with a value of n bytes.
func (c *Counts) Add(t structs.RecordType, n int) {
	c.byType[t].Records++
	c.byType[t].Bytes += uint64(n) + 1
}

// List returns the counts that are not zero, sorted by type number.
func (c *Counts) List() []Count {
	var list []Count
	for t, n := range c.byType {
		if n.Records > 0 {
			n.Type = structs.RecordType(t)
			list = append(list, n)
		}
	}
	return list
}

// order is how wire.md §7.2 orders the types in a stream. Types that are only ever read stand where their
// successors do.
var order = [...]structs.RecordType{
	structs.IndexRecord, structs.NodeRecord, structs.NodePoolRecord,
	1, 3, 4, 6, 7, 9, 10, // jobs, evaluations, allocations, launches, summaries, versions, deployments
	16, 19, 17, 18, // scaling policies and events, CSI plugins and volumes
	structs.ACLPolicyRecord, structs.ACLTokenRecord,
	structs.NamespaceRecord, structs.SchedulerConfigRecord, structs.ClusterMetadataRecord,
	21, 22, 23, // service registrations, variables, quotas
	structs.RootKeyMetaRecord, structs.RootKeyRecord,
	structs.ACLRoleRecord, 26, 27, 29, 31, // auth methods, binding rules, job submissions, host volumes
	structs.TimeTableRecord, structs.VaultAccessorRecord, structs.ServiceTokenRecord, structs.EventSinkRecord,
}

// Order returns a number that is smaller for types that come earlier in a stream, and different for every type.
// Types without a place in the compatible format follow those that have one, by number; ours come last.
func Order(t structs.RecordType) int {
	switch {
	case t == structs.AutopilotConfigRecord || t == structs.KeyUseRecord || t == structs.FeatureGateRecord || t == structs.OneTimeTokenRecord:
		return 1024 + int(t)
	default:
		if i := slices.Index(order[:], t); i >= 0 {
			return i
		}
		return 256 + int(t)
	}
}
