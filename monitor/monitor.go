package monitor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/structs"
)

const (
	// Max is how many followers a process has at most.
	Max = 32
	// room is how many lines a follower may be behind.
	room = 1024
	// maxLine bounds a line in bytes; the rest of a longer one is left out.
	maxLine = 16 << 10
	// frameBytes is what a frame holds at most, apart from its last line.
	frameBytes = 32 << 10
	// heartbeat is the silence after which a frame without anything is sent.
	heartbeat = 10 * time.Second
)

// followers counts them in this process, whose log it is.
var followers atomic.Int64

// Follow sends log through send, frame by frame, until ctx ends, which is no error, or send fails. The first frame is
// empty and says that the follower has been accepted.
//
// Errors: coded ones for a request that is not valid, for a process whose log can't be followed (log is nil), and for one
// that has Max followers.
func Follow(ctx context.Context, log hclog.InterceptLogger, req *structs.MonitorRequest, send func(*structs.StreamFrame) error) error {
	if err := req.Validate(); err != nil {
		return structs.Coded(http.StatusBadRequest, "%w", err)
	}
	if log == nil {
		return structs.Coded(http.StatusNotImplemented, "the log of this agent can't be followed")
	}
	defer followers.Add(-1)
	if followers.Add(1) > Max {
		return structs.Coded(http.StatusTooManyRequests, "%d others follow the log of this agent already", Max)
	}
	t := &tap{lines: make(chan []byte, room)}
	sink := hclog.NewSinkAdapter(&hclog.LoggerOptions{
		Level: level(req.LogLevel), JSONFormat: req.LogJSON, IncludeLocation: req.LogIncludeLocation, Output: t,
	})
	log.RegisterSink(sink)
	defer log.DeregisterSink(sink)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for piece := []byte(nil); ; {
		frame, err := newFrame(piece, req.PlainText)
		if err != nil {
			return err
		}
		if err := send(frame); err != nil {
			return err
		}
		select {
		case line := <-t.lines:
			piece = t.gather(line, req.LogJSON)
		case <-beat.C:
			piece = nil
		case <-ctx.Done():
			return nil
		}
	}
}

// newFrame is a piece of the log as it goes over the wire: itself, or as a line of JSON.
func newFrame(piece []byte, plain bool) (*structs.StreamFrame, error) {
	if plain {
		return &structs.StreamFrame{Payload: piece}, nil
	}
	b, err := json.Marshal(&structs.LogFrame{Data: piece})
	if err != nil {
		return nil, fmt.Errorf("encode log: %w", err)
	}
	return &structs.StreamFrame{Payload: append(b, '\n')}, nil
}

// level is the level that a valid request asks for.
func level(name string) hclog.Level {
	if name == "" {
		return hclog.Info
	}
	return hclog.LevelFromString(name)
}

// tap takes the lines that the log writes, as long as there is room.
type tap struct {
	lines   chan []byte
	dropped atomic.Uint64 // since it was last told
}

// Write takes one line. It never waits and never fails.
func (t *tap) Write(p []byte) (int, error) {
	line := p
	if len(line) > maxLine {
		line = append(bytes.Clone(line[:maxLine]), "... (cut off)\n"...)
	} else {
		line = bytes.Clone(line)
	}
	select {
	case t.lines <- line:
	default:
		t.dropped.Add(1)
	}
	return len(p), nil
}

// gather returns line and what has come meanwhile, with a word on what was dropped.
func (t *tap) gather(line []byte, asJSON bool) []byte {
	out := line
	for len(out) < frameBytes {
		select {
		case more := <-t.lines:
			out = append(out, more...)
			continue
		default:
		}
		break
	}
	if n := t.dropped.Swap(0); n > 0 {
		out = append(out, droppedLine(n, asJSON)...)
	}
	return out
}

// droppedLine is a line of the log that says how many are missing.
func droppedLine(n uint64, asJSON bool) []byte {
	var out bytes.Buffer
	log := hclog.New(&hclog.LoggerOptions{Name: "monitor", Output: &out, JSONFormat: asJSON})
	log.Warn("lines are missing here or shortly before: they came faster than they were taken", "dropped", n)
	return out.Bytes()
}
