package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/rollcall-id/rollcall/internal/quota"
	"github.com/rollcall-id/rollcall/structs"
)

// errShuttingDown is why reads end when the agent stops.
var errShuttingDown = errors.New("agent is shutting down")

// statusError is an answer other than 200 that this package decided on.
type statusError struct {
	code    int
	message string
}

func (e *statusError) Error() string { return e.message }

func fail(code int, format string, args ...any) error {
	return &statusError{code: code, message: fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) error {
	return fail(http.StatusBadRequest, format, args...)
}

// call is one request on its way through a handler.
type call struct {
	*HTTPServer
	w      http.ResponseWriter
	r      *http.Request
	ctx    context.Context // ends with the client's connection and, for reads, with Shutdown
	query  url.Values
	params map[string]string
	share  *quota.Share // what the client's address has taken
	held   int          // bytes of it that this call took
	access access       // of the route
}

// ServeHTTP finds the handler of a request and writes its answer.
func (s *HTTPServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := s.now()
	c := &call{HTTPServer: s, w: w, r: r, ctx: r.Context(), params: map[string]string{}, share: shareOf(r.Context())}
	// A deadline that the connection's previous request left behind would cut this one's wait short.
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Time{})
	if r.ContentLength != 0 {
		_ = rc.SetReadDeadline(time.Now().Add(s.cfg.BodyTimeout)) // also for a body that no handler reads
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		ctx, cancel := context.WithCancelCause(r.Context())
		defer cancel(nil)
		defer context.AfterFunc(s.drain, func() { cancel(errShuttingDown) })()
		c.ctx = ctx
	}
	code := c.serveCounted()
	s.log.Debug("request complete", "method", r.Method, "path", loggedPath(r.URL.Path, code), "status", code, "duration", s.now().Sub(start))
}

// loggedPath is a request's path as the log may have it. Of an ACL token that was not found the path names no accessor:
// people mistake the secret for it.
func loggedPath(path string, code int) string {
	const tokens = "/v1/acl/token/"
	if code >= 400 && len(path) > len(tokens) && strings.HasPrefix(path, tokens) {
		return tokens + "{accessor}"
	}
	return path
}

// serveCounted serves the call unless its client has too many under way.
func (c *call) serveCounted() int {
	if !c.share.Take(quota.Requests, 1) {
		return c.writeError(c.overloaded("too many requests from this address"))
	}
	defer func() {
		c.share.Give(quota.Requests, 1)
		c.share.Give(quota.Bytes, c.held)
	}()
	return c.serve()
}

// overloaded is the answer to a client that has to come back later.
func (c *call) overloaded(why string) error {
	return fail(http.StatusTooManyRequests, "%s; retry after %s", why, c.cfg.RetryAfter)
}

// serve runs the handler and returns the status it answered with.
func (c *call) serve() (code int) {
	defer func() {
		if x := recover(); x != nil {
			if err, ok := x.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(x)
			}
			c.log.Error("request handler failed", "method", c.r.Method, "path", c.r.URL.Path, "reason", x, "stack", string(debug.Stack()))
			code = c.writeError(fail(http.StatusInternalServerError, "internal error"))
		}
	}()
	if c.r.URL.Path == "/" && !c.cfg.Public {
		http.Redirect(c.w, c.r, "/ui/", http.StatusTemporaryRedirect)
		return http.StatusTemporaryRedirect
	}
	h, code := c.find()
	if h == nil {
		return code
	}
	if err := c.origin.Check(c.r); err != nil {
		return c.writeError(fail(http.StatusForbidden, "write requests from a web page of another origin are refused"))
	}
	query, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return c.writeError(badRequest("Invalid query string"))
	}
	c.query = query
	if c.query.Has("region") && !regionRule.MatchString(c.region()) {
		return c.writeError(badRequest("Invalid region: want at most 128 letters, digits, dots, dashes or underscores"))
	}
	v, err := h(c)
	if err != nil {
		return c.writeError(err)
	}
	return c.writeValue(v)
}

// find returns the request's handler; without one it has answered, and returns the status.
func (c *call) find() (handler, int) {
	n := c.routes.match(c.r.URL.EscapedPath(), c.params)
	if n != nil && n.handle[c.r.Method] != nil {
		return n.handle[c.r.Method], 0
	}
	switch err := absent(c.r.URL.Path); {
	case err != nil:
		return nil, c.writeError(err)
	case n != nil:
		c.w.Header().Set("Allow", strings.Join(n.allow, ", "))
		return nil, c.writeError(fail(http.StatusMethodNotAllowed, "Invalid method"))
	}
	c.w.WriteHeader(http.StatusNotFound)
	return nil, http.StatusNotFound
}

// call runs an RPC method.
func (c *call) call(method string, args, reply any) error {
	if err := c.rpc.RPC(c.ctx, method, args, reply); err != nil {
		if cause := context.Cause(c.ctx); errors.Is(cause, errShuttingDown) {
			return fail(http.StatusServiceUnavailable, "%s", errShuttingDown)
		}
		return err
	}
	return nil
}

// read runs an RPC method that takes the query options of the request and hands out the metadata of the reply.
func (c *call) read(method string, args interface{ Query() *structs.QueryOptions }, reply any) error {
	if err := c.queryOptions(args.Query()); err != nil {
		return err
	}
	if err := c.call(method, args, reply); err != nil {
		return err
	}
	if m, ok := reply.(interface{ Meta() *structs.QueryMeta }); ok {
		c.setMeta(m.Meta())
	}
	return nil
}
