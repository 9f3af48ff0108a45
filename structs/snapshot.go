package structs

// SnapshotSaveRequest follows the header of the streaming call Operator.SnapshotSave (wire.md §5.7).
type SnapshotSaveRequest struct {
	QueryOptions
}

// SnapshotSaveResponse is its answer; unless it names an error, the archive follows until the end of the stream.
type SnapshotSaveResponse struct {
	SnapshotChecksum string // "sha-256=<base64>" of the archive
	ErrorCode        int    `codec:",omitempty"`
	ErrorMsg         string `codec:",omitempty"`
	QueryMeta
}

// SnapshotRestoreRequest follows the header of the streaming call Operator.SnapshotRestore; the archive comes
// after it in StreamFrames.
type SnapshotRestoreRequest struct {
	WriteRequest
}

// SnapshotRestoreResponse is its answer, when the restore is done.
type SnapshotRestoreResponse struct {
	ErrorCode int    `codec:",omitempty"`
	ErrorMsg  string `codec:",omitempty"`
	QueryMeta
}

// StreamFrame carries a piece of a stream, or its end.
type StreamFrame struct {
	Error   *StreamError
	Payload []byte
}

// StreamError ends a stream; a message of StreamEOF is the good end.
type StreamError struct {
	Message string
	Code    *int64
}

// StreamEOF is the message of a stream's good end.
const StreamEOF = "EOF"

// StreamFrameBytes is how much payload a writer puts into one frame.
const StreamFrameBytes = 64 << 10
