package rpc

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

// Streaming methods, for Stream of this package and of package client.
const (
	SnapshotSave    = "Operator.SnapshotSave"
	SnapshotRestore = "Operator.SnapshotRestore"
)

// ErrSnapshotDigest is how the archive of SaveSnapshot ends when it is not the one that was announced, or not all of
// it. Throw away what was read and save again.
var ErrSnapshotDigest = errors.New("the snapshot that arrived is not the one that the server announced")

// snapshotReplyTimeout is how long the rest of an answer may take that has begun.
const snapshotReplyTimeout = 10 * time.Second

// SaveSnapshot asks for an archive over conn, a fresh connection of the method SnapshotSave, and takes conn over. The
// archive ends with io.EOF only if all of it has arrived and has the digest of the answer. Closing it closes conn, as
// does the end of ctx. An error of the server is as structs.HTTPStatus understands it.
func SaveSnapshot(ctx context.Context, conn net.Conn, req *structs.SnapshotSaveRequest) (*structs.SnapshotSaveResponse, io.ReadCloser, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	reply, archive, err := saveSnapshot(conn, req)
	if err != nil {
		stop()
		_ = conn.Close() // err says more
		var remote *structs.RemoteError
		var coded *structs.CodedError
		if errors.As(err, &remote) || errors.As(err, &coded) {
			return nil, nil, err
		}
		return nil, nil, streamError(ctx, SnapshotSave, err)
	}
	archive.ctx, archive.stop = ctx, stop
	return reply, archive, nil
}

func saveSnapshot(conn net.Conn, req *structs.SnapshotSaveRequest) (*structs.SnapshotSaveResponse, *snapshotArchive, error) {
	if err := writeValue(conn, req); err != nil {
		return nil, nil, fmt.Errorf("send request: %w", err)
	}
	in := transport.NewReader(conn, snapshotReplyTimeout)
	reply := new(structs.SnapshotSaveResponse)
	if err := readValue(in, reply); err != nil {
		return nil, nil, fmt.Errorf("read answer: %w", err)
	}
	if err := replyError(reply.ErrorCode, reply.ErrorMsg); err != nil {
		return nil, nil, err
	}
	want, err := parseDigest(reply.SnapshotChecksum)
	if err != nil {
		return nil, nil, err
	}
	return reply, &snapshotArchive{in: in.Rest(), conn: conn, want: want, sum: sha256.New()}, nil
}

// snapshotArchive is an archive on its way in.
type snapshotArchive struct {
	ctx  context.Context
	stop func() bool
	in   io.Reader
	conn net.Conn
	want []byte
	sum  hash.Hash
	n    int64
}

func (a *snapshotArchive) Read(p []byte) (int, error) {
	n, err := a.in.Read(p)
	a.n += int64(n)
	_, _ = a.sum.Write(p[:n]) // a hash can't fail
	switch {
	case err == nil:
	case !endOfStream(err):
		err = streamError(a.ctx, SnapshotSave, err)
	case a.ctx.Err() != nil:
		err = streamError(a.ctx, SnapshotSave, context.Cause(a.ctx))
	case subtle.ConstantTimeCompare(a.sum.Sum(nil), a.want) != 1:
		err = fmt.Errorf("%w (%d bytes came)", ErrSnapshotDigest, a.n)
	}
	return n, err
}

// endOfStream tells whether the peer, be it on a pipe, has closed the connection.
func endOfStream(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) }

func (a *snapshotArchive) Close() error {
	a.stop()
	return a.conn.Close()
}

// RestoreSnapshot sends an archive over conn, a fresh connection of the method SnapshotRestore, closes it, and
// returns when the restore is done. If reading archive fails, or ctx ends before all of it is sent, the server changes
// nothing; after that it is unknown whether it does. An error of the server is as structs.HTTPStatus understands it.
func RestoreSnapshot(ctx context.Context, conn net.Conn, req *structs.SnapshotRestoreRequest, archive io.Reader) (*structs.SnapshotRestoreResponse, error) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	// The server may answer, and stop reading, before it has seen the end.
	answers, answered := make(chan restoreAnswer, 1), make(chan struct{})
	go func() {
		answers <- readRestoreAnswer(conn)
		close(answered)
	}()
	sent := sendArchive(conn, req, archive, answered)
	var source *sourceError
	if errors.As(sent, &source) {
		// The server has been told, so its answer can only be a refusal, which is no news.
		_ = conn.Close()
		<-answers
		return nil, fmt.Errorf("%s: %w", SnapshotRestore, source)
	}
	got := <-answers
	switch {
	case got.refusal != nil:
		return nil, got.refusal
	case errors.Is(sent, errAnswered) && got.err != nil:
		// It was no answer that stopped the sending but the end of the connection.
		return nil, streamError(ctx, SnapshotRestore, fmt.Errorf("send archive: the server ended the call: %w", got.err))
	case sent != nil:
		return nil, streamError(ctx, SnapshotRestore, sent)
	case got.err != nil:
		return nil, streamError(ctx, SnapshotRestore, fmt.Errorf("read answer: %w", got.err))
	}
	return got.reply, nil
}

// restoreAnswer is what the server said, or why it could not be heard.
type restoreAnswer struct {
	reply        *structs.SnapshotRestoreResponse
	refusal, err error
}

func readRestoreAnswer(conn net.Conn) restoreAnswer {
	reply := new(structs.SnapshotRestoreResponse)
	if err := readValue(transport.NewReader(conn, snapshotReplyTimeout), reply); err != nil {
		return restoreAnswer{err: err}
	}
	return restoreAnswer{reply: reply, refusal: replyError(reply.ErrorCode, reply.ErrorMsg)}
}

// sourceError is an archive that can't be read to its end.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return "read archive: " + e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

// errAnswered: the server has answered before it had everything.
var errAnswered = errors.New("the server answered before the end of the archive")

// sendArchive sends the request, the archive in frames, and whether that was all of it. It stops when answered is closed.
func sendArchive(conn net.Conn, req *structs.SnapshotRestoreRequest, archive io.Reader, answered <-chan struct{}) error {
	if err := writeValue(conn, req); err != nil {
		return fmt.Errorf("send request: %w", err)
	}
	buf := make([]byte, structs.StreamFrameBytes)
	for {
		select {
		case <-answered:
			return errAnswered
		default:
		}
		n, readErr := fillBuffer(archive, buf)
		if n > 0 {
			if err := writeValue(conn, &structs.StreamFrame{Payload: buf[:n]}); err != nil {
				return fmt.Errorf("send archive: %w", err)
			}
		}
		switch {
		case readErr == nil:
		case errors.Is(readErr, io.EOF):
			if err := writeValue(conn, endFrame(structs.StreamEOF)); err != nil {
				return fmt.Errorf("send archive: %w", err)
			}
			return nil
		default:
			_ = writeValue(conn, endFrame("the archive could not be read to its end")) // closing conn says it as well
			return &sourceError{readErr}
		}
	}
}

func endFrame(message string) *structs.StreamFrame {
	return &structs.StreamFrame{Error: &structs.StreamError{Message: message}}
}

// fillBuffer reads until buf is full or r fails. Unlike io.ReadFull it leaves r's errors as they are: one of them is
// io.ErrUnexpectedEOF.
func fillBuffer(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}

func writeValue(conn net.Conn, v any) error {
	b, err := structs.EncodeBytes(v)
	if err != nil {
		return err
	}
	_, err = conn.Write(b)
	return err
}

func readValue(in *transport.Reader, v any) error {
	b, err := in.ReadValue("response", structs.Limits{MaxBytes: DefaultMaxBytes})
	if err != nil {
		return err
	}
	return structs.Decode(b, v)
}

// replyError is the error in an answer, nil if there is none.
func replyError(code int, message string) error {
	if code == 0 && message == "" {
		return nil
	}
	if code >= 400 && code <= 599 && code != http.StatusInternalServerError {
		message = fmt.Sprintf("%s%d,%s", transport.CodedPrefix, code, message)
	}
	return structs.ErrorFromWire(message)
}

// streamError says why a streaming call ended; the end of its context goes before what came of that.
func streamError(ctx context.Context, method string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("%s: %w", method, err)
}

// parseDigest reads "sha-256=<base64>".
func parseDigest(text string) ([]byte, error) {
	coded, ok := strings.CutPrefix(text, "sha-256=")
	sum, err := base64.StdEncoding.DecodeString(coded)
	if !ok || err != nil || len(sum) != sha256.Size {
		return nil, fmt.Errorf("%w: %q is no digest", ErrSnapshotDigest, text)
	}
	return sum, nil
}
