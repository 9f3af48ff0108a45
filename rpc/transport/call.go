package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// sequence numbers the calls of this process.
var sequence atomic.Uint64

// call is a request, encoded. Its first byte is the stream's own, which only a new stream sends.
type call struct {
	seq uint64
	out []byte
}

var calls = sync.Pool{New: func() any { return new(call) }}

func (c *call) free() {
	if cap(c.out) > keptBufferSize {
		c.out = nil
	}
	calls.Put(c)
}

func (c *call) encode(method string, args any) (err error) {
	c.seq = sequence.Add(1)
	c.out = append(c.out[:0], ByteRPC)
	c.out = AppendHeader(c.out, Header{Seq: c.seq, ServiceMethod: method})
	if c.out, err = structs.AppendEncode(c.out, args); err != nil {
		return fmt.Errorf("call %s: %w", method, err)
	}
	return nil
}

// exchange sends the request on st and waits for the response. reuse tells whether st is fit for another call.
func (c *call) exchange(ctx context.Context, st *clientStream, limits structs.Limits, reply any) (reuse bool, err error) {
	if err := ctx.Err(); err != nil {
		return !st.fresh, &TransportError{Op: opWrite, Err: context.Cause(ctx)}
	}
	if deadline, ok := ctx.Deadline(); ok || st.timed {
		st.SetDeadline(deadline) // without a deadline: the zero time, which clears the last call's
		st.timed = ok
	}
	stop := interruptOnDone(ctx, st)
	reuse, err = c.roundTrip(st, limits, reply)
	if !stop() {
		reuse = false // its deadline has passed or is about to be set
	}
	if te, ok := err.(*TransportError); ok {
		te.Err = withCause(ctx, te.Err)
	}
	return reuse, err
}

func (c *call) roundTrip(st *clientStream, limits structs.Limits, reply any) (reuse bool, err error) {
	out := c.out
	if !st.fresh {
		out = out[1:]
	}
	if n, err := st.Write(out); err != nil {
		return false, &TransportError{Op: opWrite, Sent: n > 0 || !refusedWrite(err), Err: err}
	}
	st.fresh = false
	b, err := st.r.readNext("response header", responseHeaderLimits)
	if err != nil {
		return false, &TransportError{Op: opRead, Sent: true, Err: err}
	}
	h, err := ParseResponseHeader(b)
	if err == nil && h.Seq != c.seq {
		err = &FrameError{What: "response header", Err: fmt.Errorf("%w: %d for %d", errWrongSeq, h.Seq, c.seq)}
	}
	if err != nil {
		return false, &TransportError{Op: opRead, Sent: true, Err: err}
	}
	body, err := st.r.readNext("response body", limits)
	if err == nil && len(st.r.buffered()) > 0 {
		err = &FrameError{What: "response body", Err: errUnexpectedBytes}
	}
	if err != nil {
		return false, &TransportError{Op: opRead, Sent: true, Err: err}
	}
	if h.Error != "" {
		return true, &RemoteError{Text: h.Error}
	}
	if reply == nil {
		return true, nil
	}
	if err := structs.Decode(body, reply); err != nil {
		return true, fmt.Errorf("answer of %s: %w", h.ServiceMethod, err)
	}
	return true, nil
}

// responseHeaderLimits leave room for the longest error text that is worth passing on.
var responseHeaderLimits = structs.Limits{MaxBytes: 1 << 20, MaxDepth: headerLimits.MaxDepth}

// reverseLimits bound the answer of a peer that dialled us, which nobody has vouched for.
var reverseLimits = structs.Limits{MaxBytes: 1 << 20, MaxValues: 1 << 16}

// CallStream makes one call on a conversation that the caller owns, for instance one from Conn.OpenReverse. The errors are
// those of Pool.Call. After a TransportError stream is out of step and must be closed. One call may be in flight at a time.
func CallStream(ctx context.Context, stream net.Conn, method string, args, reply any) error {
	c := calls.Get().(*call)
	defer c.free()
	if err := c.encode(method, args); err != nil {
		return err
	}
	st := &clientStream{Conn: stream, r: NewReader(stream, 0), timed: true}
	reuse, err := c.exchange(ctx, st, reverseLimits, reply)
	var te *TransportError
	if !reuse && err == nil || errors.As(err, &te) && te.Sent {
		// The stream carries an expired deadline or the rest of an answer; nothing else may use it.
		stream.Close()
	}
	return err
}

// startStreamWithin is startStream, which ctx interrupts.
func startStreamWithin(ctx context.Context, conn net.Conn, method string) (net.Conn, error) {
	stop := interruptOnDone(ctx, conn)
	stream, err := startStream(conn, method)
	if !stop() && err == nil {
		err = &TransportError{Op: opStream, Sent: true, Err: context.Cause(ctx)}
	}
	if te, ok := err.(*TransportError); ok {
		te.Err = withCause(ctx, te.Err)
	}
	return stream, err
}

// startStream sends a streaming call's header and waits for the acknowledgement.
func startStream(conn net.Conn, method string) (net.Conn, error) {
	b, err := structs.EncodeBytes(&streamHeader{Method: method})
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", method, err)
	}
	if _, err := conn.Write(b); err != nil {
		return nil, &TransportError{Op: opStream, Sent: true, Err: err}
	}
	r := NewReader(conn, 0)
	head, err := r.readNext("streaming acknowledgement", responseHeaderLimits)
	if err != nil {
		return nil, &TransportError{Op: opStream, Sent: true, Err: err}
	}
	var ack streamAck
	if err := structs.Decode(head, &ack); err != nil {
		return nil, &TransportError{Op: opStream, Sent: true, Err: &FrameError{What: "streaming acknowledgement", Err: err}}
	}
	if ack.Error != "" {
		return nil, &RemoteError{Text: ack.Error}
	}
	if early := r.buffered(); len(early) > 0 {
		return &bufferedConn{Conn: conn, early: early}, nil
	}
	return conn, nil
}

// withCause adds why ctx has ended, if it has, to the I/O error that came of it.
func withCause(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if deadline, ok := ctx.Deadline(); cause == nil && ok && !time.Now().Before(deadline) {
		cause = context.DeadlineExceeded // the connection's timer was faster than the context's
	}
	if cause == nil || errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w (%w)", cause, err)
}
