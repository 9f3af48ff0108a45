package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/rollcall-id/rollcall/structs"
)

// MonitorOptions choose whose log is followed, and how it is written.
type MonitorOptions struct {
	LogLevel        string // trace, debug, info, warn or error; empty means info
	JSON            bool   // lines of JSON instead of text
	IncludeLocation bool   // of the code that logs
	NodeID          string // the agent of this node; not together with ServerID
	ServerID        string // ID or name of a server, or "leader"; empty means the agent asked
	Region          string // overrides the client's
}

// Monitor follows the log of an agent as it is written. What is read from the result are lines of the log; it ends with an
// error that says why. Close it.
func (c *Client) Monitor(ctx context.Context, o *MonitorOptions) (io.ReadCloser, error) {
	if o == nil {
		o = &MonitorOptions{}
	}
	params := c.scope(o.Region, "")
	for name, value := range map[string]string{"log_level": o.LogLevel, "node_id": o.NodeID, "server_id": o.ServerID} {
		if value != "" {
			params.Set(name, value)
		}
	}
	params.Set("log_json", strconv.FormatBool(o.JSON))
	params.Set("log_include_location", strconv.FormatBool(o.IncludeLocation))
	open, err := c.stream(ctx, "/v1/agent/monitor", params, 0)
	if err != nil {
		return nil, err
	}
	return &logStream{openStream: open, frames: json.NewDecoder(open)}, nil
}

// logStream is a log that arrives in frames. It is for one goroutine, but for Close.
type logStream struct {
	*openStream
	frames *json.Decoder
	rest   []byte
}

// Read waits for the next piece of the log.
func (l *logStream) Read(p []byte) (int, error) {
	for len(l.rest) == 0 {
		var frame struct {
			structs.LogFrame
			Error *struct {
				Code    int
				Message string
			}
		}
		switch err := l.frames.Decode(&frame); {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return 0, fmt.Errorf("the agent ended the log: %w", io.ErrUnexpectedEOF)
		case err != nil:
			return 0, fmt.Errorf("read log: %w", err)
		case frame.Error != nil:
			return 0, &StatusError{Code: frame.Error.Code, Body: frame.Error.Message}
		}
		l.rest = frame.Data
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}
