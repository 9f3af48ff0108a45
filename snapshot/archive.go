package snapshot

import (
	"errors"
	"fmt"
)

// The members of an archive (wire.md §7.1), in the order in which they are written.
const (
	memberMeta  = "meta.json"
	memberState = "state.bin"
	memberSums  = "SHA256SUMS"
)

// Limits of an archive that is read.
const (
	// DefaultMaxState is the longest state.bin in bytes, ten times the largest fleet that was measured.
	DefaultMaxState = 16 << 30
	// DefaultMaxRatio is how many bytes one compressed byte may stand for. Every node has about 50 random bytes
	// in 3,000, so real states stay under 60; a bomb has 1,000.
	DefaultMaxRatio = 256

	maxMetaBytes = 1 << 20
	maxSumsBytes = 4 << 10
	// maxHeaderBytes is for the headers before a member, extended ones included.
	maxHeaderBytes = 64 << 10
	// ratioFree is how many bytes come out before their ratio says anything.
	ratioFree = 1 << 20
	// tarBlock and tarRecord are the units in which tar pads members and archives.
	tarBlock  = 512
	tarRecord = 20 * tarBlock
)

// Every reason for which an archive is refused is one of these. Trying again with the same bytes does not help.
var (
	// ErrNotArchive: the input is something else.
	ErrNotArchive = errors.New("this is not a snapshot archive; give a file that \"operator snapshot save\" wrote")
	// ErrDamaged: bytes are missing or not what was written.
	ErrDamaged = errors.New("the snapshot is damaged or incomplete; fetch it again from its source or use an older one")
	// ErrRefused: the bytes arrived well, but no server writes such an archive.
	ErrRefused = errors.New("no server writes this; find out where the snapshot comes from before you use it")
	// ErrTooLarge: a limit was exceeded.
	ErrTooLarge = errors.New("the snapshot exceeds a limit that protects from decompression bombs; " +
		"raise the limit only if you know where the snapshot comes from")
)

// ArchiveError says where in a snapshot something was wrong. Err wraps one of the errors above, unless reading the
// source or writing the temporary file failed, or the call was cancelled. A *RecordError in it has the place in
// state.bin.
type ArchiveError struct {
	File   string // as the caller named it
	Member string // empty outside of members
	Offset int64  // bytes of the file, compressed if it is an archive, that had been used when it was noticed
	Err    error
}

// Error names file, member and offset.
func (e *ArchiveError) Error() string {
	if e.Member == "" {
		return fmt.Sprintf("snapshot %s at byte %d: %v", e.File, e.Offset, e.Err)
	}
	return fmt.Sprintf("snapshot %s, %s, at byte %d of the file: %v", e.File, e.Member, e.Offset, e.Err)
}

// Unwrap returns what was wrong.
func (e *ArchiveError) Unwrap() error { return e.Err }

// because returns an error that says what was found and is kind.
func because(kind error, format string, args ...any) error {
	return fmt.Errorf("%w (%w)", fmt.Errorf(format, args...), kind)
}
