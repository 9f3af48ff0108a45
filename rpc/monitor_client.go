package rpc

import (
	"context"
	"net"

	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

// AgentMonitor is the name of the streaming method of an agent's log.
const AgentMonitor = "Agent.Monitor"

// LogReader reads an agent's log. It is for one goroutine, but for Close.
type LogReader struct {
	ctx  context.Context
	stop func() bool
	conn net.Conn
	in   *transport.Reader
}

// OpenLog asks for a log over conn, a fresh connection of the method AgentMonitor, and takes conn over. The end of ctx closes
// it.
func OpenLog(ctx context.Context, conn net.Conn, req *structs.MonitorRequest) (*LogReader, error) {
	r := &LogReader{ctx: ctx, conn: conn, in: transport.NewReader(conn, logWriteTimeout)}
	r.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	if err := writeValue(conn, req); err != nil {
		_ = r.Close() // err says more
		return nil, streamError(ctx, AgentMonitor, err)
	}
	return r, nil
}

// Next waits for the next piece of the log, which may be empty; valid until the next call. A refusal, or why the agent ends
// the stream, is an error as structs.HTTPStatus understands it.
func (r *LogReader) Next() ([]byte, error) {
	var frame structs.StreamFrame
	body, err := r.in.ReadValue("log", structs.Limits{MaxBytes: DefaultMaxBytes})
	if err == nil {
		err = structs.Decode(body, &frame)
	}
	if err != nil {
		return nil, streamError(r.ctx, AgentMonitor, err)
	}
	if e := frame.Error; e != nil {
		return nil, frameError(e)
	}
	return frame.Payload, nil
}

// Close ends the stream.
func (r *LogReader) Close() error {
	r.stop()
	return r.conn.Close()
}
