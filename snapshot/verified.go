package snapshot

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"

	"github.com/rollcall-id/rollcall/structs"
)

// Verified is a snapshot of which everything has been checked. Close gives its file back; until then it may be read
// from any number of goroutines.
type Verified struct {
	Name     string // as the caller named it
	Meta     Meta
	Counts   []Count           // what is in the state, by type
	Size     int64             // of the archive in bytes; 0 for a snapshot in a directory
	Digest   [sha256.Size]byte // SHA-256 of the archive; zero for a snapshot in a directory
	StateSum [sha256.Size]byte // SHA-256 of state.bin

	state *os.File
}

// State returns a new reader of state.bin, from its beginning. It is not valid after Close.
func (v *Verified) State() *io.SectionReader { return io.NewSectionReader(v.state, 0, v.Meta.Size) }

// DigestHeader returns the value of the HTTP header Digest (wire.md §5.7).
func (v *Verified) DigestHeader() string { return digestHeader(v.Digest) }

// Close removes the temporary file. Further calls do nothing.
func (v *Verified) Close() error {
	if v.state == nil {
		return nil
	}
	f := v.state
	v.state = nil
	return f.Close()
}

// Records calls each with every record of the state, in order, until it fails.
func (v *Verified) Records(ctx context.Context, each func(Record) error) error {
	var c Counts
	return eachRecord(v.State(), &c, func(rec Record) error {
		if rec.Number%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		return each(rec)
	})
}

// eachRecord reads a stream to its end, counts its records and gives them to each.
func eachRecord(src io.Reader, counts *Counts, each func(Record) error) error {
	for r := NewReader(src); ; {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		counts.Add(rec.Type, len(rec.Raw))
		if err := each(rec); err != nil {
			return rec.Fail(err)
		}
	}
}

// newRecord has the types whose records have a meaning here, and what they are decoded into.
var newRecord = map[structs.RecordType]func() any{
	structs.IndexRecord:           func() any { return new(structs.IndexEntry) },
	structs.NodeRecord:            func() any { return new(structs.Node) },
	structs.NodePoolRecord:        func() any { return new(structs.NodePool) },
	structs.NamespaceRecord:       func() any { return new(structs.Namespace) },
	structs.SchedulerConfigRecord: func() any { return new(structs.SchedulerConfiguration) },
	structs.ClusterMetadataRecord: func() any { return new(structs.ClusterMetadata) },
	structs.RootKeyMetaRecord:     func() any { return new(structs.RootKeyMeta) },
	structs.RootKeyRecord:         func() any { return new(structs.RootKey) },
	structs.AutopilotConfigRecord: func() any { return new(structs.AutopilotConfig) },
	structs.KeyUseRecord:          func() any { return new(structs.KeyUse) },
	structs.StateBaseRecord:       func() any { return new(structs.StateBase) },
	structs.FeatureGateRecord:     func() any { return new(structs.FeatureGate) },
	structs.ACLPolicyRecord:       func() any { return new(structs.ACLPolicy) },
	structs.ACLTokenRecord:        func() any { return new(structs.ACLToken) },
	structs.ACLRoleRecord:         func() any { return new(structs.ACLRole) },
	structs.OneTimeTokenRecord:    func() any { return new(structs.OneTimeToken) },
}

// DecodeRecord decodes a record of a type that has a meaning here, into a pointer to its type in structs; nil for
// other types, of which the Reader has checked all that can be.
func DecodeRecord(rec Record) (any, error) {
	make := newRecord[rec.Type]
	if make == nil {
		return nil, nil
	}
	v := make()
	return v, structs.Decode(rec.Raw, v)
}

// checkRecord is what verifying does with records unless it is told otherwise.
func checkRecord(rec Record) error {
	_, err := DecodeRecord(rec)
	return err
}
