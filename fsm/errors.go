package fsm

import (
	"errors"
	"fmt"

	"github.com/rollcall-id/rollcall/structs"
)

// Why an entry stops the FSM. Neither goes away by trying again.
var (
	// ErrUnknownEntry: no version known to this one writes the message type.
	ErrUnknownEntry = errors.New("unknown message type")
	// ErrDamagedEntry: the entry is empty, or its body is not what its message type calls for.
	ErrDamagedEntry = errors.New("undecodable entry")
	// ErrUnreadableSnapshot: what the leader sent to be restored can't be loaded. The index is 0.
	ErrUnreadableSnapshot = errors.New("unreadable snapshot")
)

// LogError says which log entry stopped the FSM.
type LogError struct {
	Index uint64
	Type  structs.MessageType
	Err   error
}

// Error says what was wrong and what to do.
func (e *LogError) Error() string {
	if errors.Is(e.Err, ErrDigestMismatch) {
		return fmt.Sprintf("log entry %d: %v", e.Index, e.Err)
	}
	if errors.Is(e.Err, ErrUnreadableSnapshot) {
		return fmt.Sprintf("restore what the leader sent: %v: it was written by a newer version, or damaged on the way or on this "+
			"disk. Start this server with the version that the others run, or with an empty data directory", e.Err)
	}
	return fmt.Sprintf("apply log entry %d of type %s (%d): %v: the log was written by a newer version or is damaged; "+
		"nothing from this entry on is applied here. Start this server with the version that the others run, or, if only "+
		"this server has the problem, with an empty data directory so that it gets the data from the others",
		e.Index, e.Type, uint8(e.Type), e.Err)
}

// Unwrap returns what was wrong.
func (e *LogError) Unwrap() error { return e.Err }
