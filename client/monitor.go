package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/rollcall-id/rollcall/monitor"
	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

const (
	// streamRequestTimeout is how long a server may take to say what it wants of a stream that it has opened.
	streamRequestTimeout = 10 * time.Second
	// logWriteTimeout is how long a follower of the log may take over one frame.
	logWriteTimeout = time.Minute
	// maxStreamRequest bounds what a server says it wants, in bytes.
	maxStreamRequest = 64 << 10
)

// ServeStream answers Agent.Monitor for this node, which sends its agent's log.
func (r reverse) ServeStream(ctx context.Context, _ *transport.Conn, conn net.Conn, method string) error {
	if method != "Agent.Monitor" {
		return errors.New(unknownStreamText + strconv.Quote(method))
	}
	if err := transport.AcceptStream(conn); err != nil {
		return err
	}
	send := func(f *structs.StreamFrame) error {
		b, err := structs.EncodeBytes(f)
		if err != nil {
			return err
		}
		if err := conn.SetWriteDeadline(time.Now().Add(logWriteTimeout)); err != nil {
			return err
		}
		_, err = conn.Write(b)
		return err
	}
	err := r.monitor(ctx, conn, send)
	var refusal *structs.CodedError
	if errors.As(err, &refusal) {
		code := int64(refusal.Code)
		return send(&structs.StreamFrame{Error: &structs.StreamError{Message: refusal.Message, Code: &code}})
	}
	return err
}

func (r reverse) monitor(ctx context.Context, conn net.Conn, send func(*structs.StreamFrame) error) error {
	var req structs.MonitorRequest
	body, err := transport.NewReader(conn, streamRequestTimeout).ReadValue("request", structs.Limits{MaxBytes: maxStreamRequest})
	if err != nil {
		return err
	}
	if err := structs.Decode(body, &req); err != nil {
		return structs.Coded(http.StatusBadRequest, "%w", err)
	}
	if req.NodeID != r.c.NodeID() {
		return structs.Coded(http.StatusNotFound, "%w %q", structs.ErrUnknownNode, req.NodeID)
	}
	r.c.log.Info("a server follows the log of this node", "level", req.LogLevel)
	if err := monitor.Follow(ctx, r.c.cfg.Logs, &req, send); err != nil {
		return fmt.Errorf("follow log: %w", err)
	}
	return nil
}
