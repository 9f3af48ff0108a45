package httpapi

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/rollcall-id/rollcall/rpc"
	"github.com/rollcall-id/rollcall/structs"
)

// archiveType is the Content-Type of a snapshot archive (wire.md §7.1).
const archiveType = "application/x-gzip"

// saveSnapshot answers with an archive of the state and its digest. An archive that does not arrive whole from the
// server breaks the connection off, so that nobody takes it for one that did.
func saveSnapshot(c *call) (any, error) {
	args := &structs.SnapshotSaveRequest{}
	if err := c.queryOptions(&args.QueryOptions); err != nil {
		return nil, err
	}
	conn, err := c.rpc.Stream(c.ctx, rpc.SnapshotSave)
	if err != nil {
		return nil, c.streamError(err)
	}
	res, archive, err := rpc.SaveSnapshot(c.ctx, conn, args)
	if err != nil {
		return nil, c.streamError(err)
	}
	c.setMeta(&res.QueryMeta)
	h := c.w.Header()
	setHeader(h, "Digest", res.SnapshotChecksum)
	h.Set("Content-Type", archiveType)
	h.Set("X-Content-Type-Options", "nosniff")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer archive.Close()
		if r.Method == http.MethodHead {
			return
		}
		if _, err := io.Copy(patientWriter{c}, archive); err != nil {
			c.log.Warn("snapshot not delivered", "error", err)
			panic(http.ErrAbortHandler) // the status is out; only a broken connection says that this is not the end
		}
	}), nil
}

// restoreSnapshot makes the archive in the body the state of the cluster. It may have any size and take any time, as long
// as some of it keeps coming.
func restoreSnapshot(c *call) (any, error) {
	conn, err := c.rpc.Stream(c.ctx, rpc.SnapshotRestore)
	if err != nil {
		return nil, c.streamError(err)
	}
	res, err := rpc.RestoreSnapshot(c.ctx, conn, &structs.SnapshotRestoreRequest{WriteRequest: c.writeRequest()}, patientBody{c})
	if err != nil {
		var tooSlow interface{ Timeout() bool }
		if errors.As(err, &bodyError{}) {
			if errors.As(err, &tooSlow) && tooSlow.Timeout() {
				return nil, fail(http.StatusRequestTimeout, "Request body stopped arriving; nothing was restored")
			}
			return nil, badRequest("Request body could not be read to its end; nothing was restored")
		}
		return nil, c.streamError(err)
	}
	c.setIndex(res.Index)
	return nil, nil
}

// streamError is what call makes of an RPC's error.
func (c *call) streamError(err error) error {
	if errors.Is(err, errShuttingDown) {
		return fail(http.StatusServiceUnavailable, "%s", errShuttingDown)
	}
	return err
}

// patientWriter gives the client writeTimeout for every piece instead of for the whole.
type patientWriter struct{ c *call }

func (w patientWriter) Write(p []byte) (int, error) {
	w.c.startWriting()
	return w.c.w.Write(p)
}

// patientBody gives the client bodyTimeout for every piece instead of for the whole.
type patientBody struct{ c *call }

func (b patientBody) Read(p []byte) (int, error) {
	rc := http.NewResponseController(b.c.w)
	_ = rc.SetReadDeadline(time.Now().Add(bodyTimeout)) // not all writers in tests have deadlines
	n, err := b.c.r.Body.Read(p)
	if err == nil {
		return n, nil
	}
	_ = rc.SetReadDeadline(time.Time{}) // the restore itself may take minutes
	if !errors.Is(err, io.EOF) {
		err = bodyError{err}
	}
	return n, err
}

// bodyError is the client's fault.
type bodyError struct{ err error }

func (e bodyError) Error() string { return "request body: " + e.err.Error() }
func (e bodyError) Unwrap() error { return e.err }
