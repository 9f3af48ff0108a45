package rpc

import (
	"context"
	"net"

	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

// EventStream is the name of the streaming method of events.
const EventStream = "Event.Stream"

// maxEventFrame bounds the events of one index; those of thousands of nodes that are collected together are the most.
const maxEventFrame = 64 << 20

// EventReader reads the lines of an event stream. It is for one goroutine.
type EventReader struct {
	ctx  context.Context
	stop func() bool
	conn net.Conn
	in   *transport.Reader
}

// OpenEventStream asks for events over conn, a fresh connection of the method EventStream, and takes conn over. The end of
// ctx closes it.
func OpenEventStream(ctx context.Context, conn net.Conn, req *structs.EventStreamRequest) (*EventReader, error) {
	r := &EventReader{ctx: ctx, conn: conn, in: transport.NewReader(conn, eventWriteTimeout)}
	r.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	if err := writeValue(conn, req); err != nil {
		_ = r.Close() // err says more
		return nil, streamError(ctx, EventStream, err)
	}
	return r, nil
}

// Next waits for the next line: JSON, valid until the next call. "{}" is a heartbeat. A refusal, or why the server ends
// the stream, is an error as structs.HTTPStatus understands it.
func (r *EventReader) Next() ([]byte, error) {
	body, err := r.in.ReadValue("events", structs.Limits{MaxBytes: maxEventFrame})
	if err != nil {
		return nil, streamError(r.ctx, EventStream, err)
	}
	var frame structs.EventFrame
	if err := structs.Decode(body, &frame); err != nil {
		return nil, streamError(r.ctx, EventStream, err)
	}
	if e := frame.Error; e != nil {
		return nil, frameError(e)
	}
	if frame.Event == nil {
		return []byte("{}"), nil
	}
	return frame.Event.Data, nil
}

// frameError is what a frame says went wrong.
func frameError(e *structs.StreamError) error {
	code := 0
	if e.Code != nil {
		code = int(*e.Code)
	}
	return replyError(code, e.Message)
}

// Close ends the stream.
func (r *EventReader) Close() error {
	r.stop()
	return r.conn.Close()
}
