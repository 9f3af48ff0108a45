package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/rollcall-id/rollcall/monitor"
	"github.com/rollcall-id/rollcall/rpc"
	"github.com/rollcall-id/rollcall/structs"
)

// firstLogWait is how long the status waits for an agent to refuse: one of another system says nothing until it logs. It is
// more than the second for which servers wait for the key of a token.
const firstLogWait = 3 * time.Second

// followLog answers with the log of this agent, of a server or of a node, until the client goes (wire.md §5.6).
func followLog(c *call) (any, error) {
	args, err := c.monitorRequest()
	if err != nil {
		return nil, err
	}
	out := &logWriter{c: c, plain: args.PlainText}
	if c.server == nil && c.client != nil && args.ServerID == "" && (args.NodeID == "" || args.NodeID == c.client.NodeID()) {
		if err := c.mayHere(); err != nil {
			return nil, err
		}
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			ctx, release := c.whileAllowedHere()
			defer release()
			err := monitor.Follow(ctx, c.cfg.Logs, args, func(f *structs.StreamFrame) error { return out.write(f.Payload) })
			if ctx.Err() != nil && c.ctx.Err() == nil {
				err = context.Cause(ctx)
			}
			out.end(err)
		}), nil
	}
	conn, err := c.rpc.Stream(c.ctx, rpc.AgentMonitor)
	if err != nil {
		return nil, c.streamError(err)
	}
	in, err := rpc.OpenLog(c.ctx, conn, args)
	if err != nil {
		return nil, c.streamError(err)
	}
	return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { out.copy(in) }), nil
}

// refuseLogExport: an agent keeps no log to export.
func refuseLogExport(*call) (any, error) {
	return nil, fail(http.StatusNotImplemented, "an agent of Rollcall keeps no log files to export; follow its log by /v1/agent/monitor, or read the service manager's")
}

func (c *call) monitorRequest() (*structs.MonitorRequest, error) {
	args := &structs.MonitorRequest{LogLevel: c.query.Get("log_level"), NodeID: c.query.Get("node_id"), ServerID: c.query.Get("server_id")}
	for name, value := range map[string]*bool{
		"log_json": &args.LogJSON, "log_include_location": &args.LogIncludeLocation, "plain": &args.PlainText,
	} {
		var err error
		if *value, err = c.flag(name); err != nil {
			return nil, err
		}
	}
	if err := args.Validate(); err != nil {
		return nil, badRequest("%s", err)
	}
	return args, c.queryOptions(&args.QueryOptions)
}

// logWriter writes a log as the answer. It is for one goroutine.
type logWriter struct {
	c       *call
	plain   bool
	started bool // the status is out
}

// copy writes what comes from in, and closes it.
func (w *logWriter) copy(in *rpc.LogReader) {
	type piece struct {
		data []byte
		err  error
	}
	ctx, cancel := context.WithCancel(w.c.ctx)
	pieces, done := make(chan piece), make(chan struct{})
	go func() {
		defer close(done)
		for {
			data, err := in.Next()
			select {
			case pieces <- piece{bytes.Clone(data), err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	defer func() { cancel(); _ = in.Close(); <-done }()
	patience := time.NewTimer(firstLogWait)
	defer patience.Stop()
	for {
		var err error
		select {
		case p := <-pieces:
			if err = p.err; err == nil {
				err = w.write(p.data)
			}
		case <-patience.C:
			err = w.write(nil)
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		if err != nil {
			w.end(err)
			return
		}
	}
}

// write sends a piece of the log at once.
func (w *logWriter) write(data []byte) error {
	if !w.started {
		w.started = true
		contentType := jsonType
		if w.plain {
			contentType = textType
		}
		w.c.w.Header().Set("Content-Type", contentType)
		w.c.w.Header().Set("X-Content-Type-Options", "nosniff")
	}
	if w.c.r.Method == http.MethodHead {
		return errHeadOnly
	}
	if _, err := (patientWriter{w.c}).Write(data); err != nil {
		return err
	}
	return http.NewResponseController(w.c.w).Flush()
}

var errHeadOnly = errors.New("only the header was asked for")

// end answers with why the log is over, as far as that can still be said.
func (w *logWriter) end(err error) {
	if err == nil && w.c.ctx.Err() != nil {
		err = context.Cause(w.c.ctx)
	}
	if err == nil || errors.Is(err, errHeadOnly) || w.c.r.Context().Err() != nil {
		return
	}
	if errors.Is(context.Cause(w.c.ctx), errShuttingDown) {
		err = fail(http.StatusServiceUnavailable, "%s", errShuttingDown)
	}
	if !w.started {
		w.c.writeError(err)
		return
	}
	code, message := structs.HTTPStatus(err)
	var own *statusError
	if errors.As(err, &own) {
		code, message = own.code, own.message
	}
	text := []byte(fmt.Sprintf("The log ends here: %s\n", message))
	if !w.plain {
		var line lineError
		line.Error.Code, line.Error.Message = code, message
		if text, err = encodeJSON(line, false); err != nil {
			return
		}
	}
	_ = w.write(text) // the end of the stream says it as well
}
