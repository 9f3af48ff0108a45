package transport

import (
	"errors"
	"fmt"
	"strings"
)

// Texts that cross the wire (wire.md §1.3, §1.5); peers match on them.
const (
	// CodedPrefix starts a coded error: `RPC Error:: <code>,<message>`. Coded errors are passed on unwrapped.
	CodedPrefix = "RPC Error:: "
	// RPCErrorPrefix is put before every other failure of a call, once a hop.
	RPCErrorPrefix = "rpc error: "

	unknownServiceText = "rpc: can't find service "
	unknownMethodText  = "rpc: can't find method "
	illFormedText      = "rpc: service/method request ill-formed: "
)

// ErrShutdown is the cause of calls on a closed Pool and on the streams of a closed Server. Give up.
var ErrShutdown = errors.New("shutdown")

// ErrUnknownMethod is the answer to a method whose service exists but not the method, with the text Go's
// net/rpc gives: a name without a dot is ill-formed.
func ErrUnknownMethod(method string) error {
	if !strings.Contains(method, ".") {
		return errors.New(illFormedText + method)
	}
	return errors.New(unknownMethodText + method)
}

// ErrUnknownService is the answer to a method whose service (the part before the last dot) does not exist. A name without
// a dot is ill-formed.
func ErrUnknownService(method string) error {
	if !strings.Contains(method, ".") {
		return errors.New(illFormedText + method)
	}
	return errors.New(unknownServiceText + method)
}

// RemoteError is an error that the remote handler answered with: the request was received and dealt with.
type RemoteError struct {
	// Text is what the remote sent, without any prefix of ours.
	Text string
}

// Error is `rpc error: <text>`, or the text alone if it is a coded error.
func (e *RemoteError) Error() string {
	if strings.HasPrefix(e.Text, CodedPrefix) {
		return e.Text
	}
	return RPCErrorPrefix + e.Text
}

// RemoteText returns the text that the remote answered with, if err is or wraps a RemoteError.
func RemoteText(err error) (text string, ok bool) {
	var re *RemoteError
	if errors.As(err, &re) {
		return re.Text, true
	}
	return "", false
}

// Operations of a call that can fail before there is an answer.
const (
	opGetConn     = "failed to get conn"
	opStartStream = "failed to start stream"
	opWrite       = "failed to write request"
	opRead        = "failed to read response"
	opStream      = "failed to start streaming call"
)

// TransportError is a call that got no answer.
type TransportError struct {
	Addr string // address that was called; empty for a call on a stream of the caller's own
	Op   string // what failed, in words that peers match on
	// Sent tells whether the server may have received the request. If not, calling again can't do anything twice.
	Sent bool
	Err  error
}

// Error is `rpc error: <op>: <cause>`, with the address where there is one.
func (e *TransportError) Error() string {
	if e.Addr == "" {
		return fmt.Sprintf("%s%s: %v", RPCErrorPrefix, e.Op, e.Err)
	}
	return fmt.Sprintf("%s%s: %s: %v", RPCErrorPrefix, e.Op, e.Addr, e.Err)
}

// Unwrap gives the cause; a call that its context ended has the context's error in its chain.
func (e *TransportError) Unwrap() error { return e.Err }

// NeverSent reports whether err says that the request did not reach the server, so that it is safe to send it again.
// A nil error, a RemoteError and an outcome that is unknown are not.
func NeverSent(err error) bool {
	var te *TransportError
	return errors.As(err, &te) && !te.Sent
}

// Kinds of bad frames; every error of Reader that is not a plain I/O error wraps one of these or one of the
// structs.Err values of the msgpack scanner, in a FrameError.
var (
	errFrameTruncated  = errors.New("connection ended inside it")
	errUnexpectedBytes = errors.New("bytes after the response")
	errWrongSeq        = errors.New("sequence number of another request")
	errNoHeader        = errors.New("not a header")
)

// FrameError is input that is not a well-formed frame. The conversation can't go on after it.
type FrameError struct {
	What string // "request header", "request body", ...
	Err  error
}

func (e *FrameError) Error() string { return "frame: " + e.What + ": " + e.Err.Error() }

// Unwrap gives what was wrong.
func (e *FrameError) Unwrap() error { return e.Err }
