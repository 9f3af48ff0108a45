package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/rollcall-id/rollcall/rpc"
	"github.com/rollcall-id/rollcall/structs"
)

// streamEvents answers with one JSON object a line until the client goes (wire.md §5.8).
func streamEvents(c *call) (any, error) {
	args, err := c.eventStreamRequest()
	if err != nil {
		return nil, err
	}
	conn, err := c.rpc.Stream(c.ctx, rpc.EventStream)
	if err != nil {
		return nil, c.streamError(err)
	}
	in, err := rpc.OpenEventStream(c.ctx, conn, args)
	if err != nil {
		return nil, c.streamError(err)
	}
	first, err := in.Next() // a refusal comes instead of it, while there can still be a status
	if err != nil {
		_ = in.Close() // err says more
		return nil, c.streamError(err)
	}
	c.w.Header().Set("Content-Type", jsonType)
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		defer in.Close()
		if r.Method == http.MethodHead {
			return
		}
		c.copyLines(first, in.Next)
	}), nil
}

func (c *call) eventStreamRequest() (*structs.EventStreamRequest, error) {
	args := &structs.EventStreamRequest{}
	if s := c.query.Get("index"); s != "" {
		var err error
		if args.Index, err = strconv.ParseUint(s, 10, 63); err != nil {
			return nil, badRequest("Invalid index")
		}
	}
	for _, s := range c.query["topic"] {
		topic, key, err := structs.ParseEventTopic(s)
		if err != nil {
			return nil, badRequest("Invalid topic: %s", err)
		}
		if args.Topics == nil {
			args.Topics = map[string][]string{}
		}
		args.Topics[topic] = append(args.Topics[topic], key)
	}
	if err := args.Validate(); err != nil {
		return nil, badRequest("Invalid topic: %s", err)
	}
	return args, c.queryOptions(&args.QueryOptions)
}

// lineError is how a stream says why it ends: the status is long out. Clients that don't know it take it for a
// heartbeat and then find the stream at its end.
type lineError struct {
	Error struct {
		Code    int
		Message string
	}
}

// copyLines writes first and then what next returns, each on a line of its own that is sent at once, until next fails or
// the client goes.
func (c *call) copyLines(first []byte, next func() ([]byte, error)) {
	out := patientWriter{c}
	rc := http.NewResponseController(c.w)
	send := func(line []byte) bool {
		_, err := out.Write(append(line, '\n'))
		return err == nil && rc.Flush() == nil
	}
	line, err := first, error(nil)
	for err == nil {
		if !send(line) {
			return
		}
		line, err = next()
	}
	if c.r.Context().Err() != nil {
		return
	}
	var end lineError
	end.Error.Code, end.Error.Message = structs.HTTPStatus(err)
	if errors.Is(context.Cause(c.ctx), errShuttingDown) {
		end.Error.Code, end.Error.Message = http.StatusServiceUnavailable, errShuttingDown.Error()
	}
	if line, err = encodeJSON(end, false); err == nil {
		_ = send(line) // the end of the stream says it as well
	}
}
