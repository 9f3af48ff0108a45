package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

const (
	// streamRequestTimeout is how long a caller may take to say what it wants of a stream that it has opened.
	streamRequestTimeout = 10 * time.Second
	// frameTimeout is how long a caller may take over one frame. The frames together may take hours.
	frameTimeout = time.Minute
	// drainTimeout is how long a caller that was refused may go on sending.
	drainTimeout = 5 * time.Second
)

// stream is a streaming call's connection: what follows the request is read through in, so that nothing which
// arrived with it is lost.
type stream struct {
	net.Conn
	in *transport.Reader
}

// streamMethod is one row of the table of streaming methods. They go through the steps of every other method; the
// request comes first on the stream, and an error before act has begun is answered in the method's own form.
type streamMethod struct {
	method
	act  func(c *Call, req any, st *stream) error
	fail func(code int, message string) any // the reply that says why
}

// handleStream adds a streaming method to the table.
func handleStream[Req any, PReq request[Req]](
	s *Server, spec Spec, act func(*Call, *Req, *stream) error, fail func(code int, message string) any,
) {
	m := &streamMethod{fail: fail, act: func(c *Call, req any, st *stream) error { return act(c, req.(*Req), st) }}
	m.Spec, m.access = spec, accessOf(spec.Name, PReq(nil))
	m.newRequest = func() structs.RPCRequest { return PReq(new(Req)) }
	s.streams[spec.Name] = m
}

// ServeStream runs a streaming call that came over a connection.
func (s *Server) ServeStream(ctx context.Context, conn *transport.Conn, sc net.Conn, name string) error {
	m, ok := s.streams[name]
	if !ok {
		//lint:ignore ST1005 the text is the wire's
		return fmt.Errorf("Unknown rpc method: %q", name)
	}
	if err := transport.AcceptStream(sc); err != nil {
		return err
	}
	return s.runStream(ctx, conn, m, sc)
}

// Stream starts a streaming call in this process. The caller writes the request and closes the connection.
func (s *Server) Stream(ctx context.Context, name string) (net.Conn, error) {
	m, ok := s.streams[name]
	if !ok {
		//lint:ignore ST1005 the text is the wire's
		return nil, fmt.Errorf("Unknown rpc method: %q", name)
	}
	ours, theirs := net.Pipe()
	go func() {
		defer ours.Close()
		defer func() {
			if x := recover(); x != nil {
				s.log.Error("handler panicked", "method", name, "panic", x, "stack", string(debug.Stack()))
			}
		}()
		if err := s.runStream(ctx, nil, m, ours); err != nil {
			s.log.Debug("stream ended early", "method", name, "error", err)
		}
	}()
	return theirs, nil
}

// runStream is the pipeline of a streaming call. An error that it returns could not be told to the caller.
func (s *Server) runStream(ctx context.Context, conn *transport.Conn, m *streamMethod, sc net.Conn) error {
	st := &stream{Conn: sc, in: transport.NewReader(sc, 0)}
	if err := sc.SetReadDeadline(time.Now().Add(streamRequestTimeout)); err != nil {
		return err
	}
	body, err := st.in.ReadValue("request", structs.Limits{MaxBytes: DefaultMaxBytes})
	if err != nil {
		return err
	}
	if err := sc.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	req := m.newRequest()
	if err := structs.Decode(body, req); err != nil {
		return st.send(m.fail(http.StatusBadRequest, fmt.Sprintf("%s: decode request: %s", m.Name, err)))
	}
	c := &Call{
		ctx: ctx, srv: s, conn: conn, method: &m.method, now: s.deps.Clock(), token: req.Token(), cameForwarded: req.IsForwarded(),
	}
	if err := s.serveStream(c, m, req, st); err != nil {
		code, message := structs.HTTPStatus(err)
		if err := st.send(m.fail(code, message)); err != nil {
			return err
		}
		st.drain()
	}
	return nil
}

// drain reads what the caller is still sending: closing a connection with unread bytes resets it, and the answer may
// be lost. A caller that does not read the answer meanwhile is cut off.
func (st *stream) drain() {
	_ = st.SetReadDeadline(time.Now().Add(drainTimeout)) // if it fails, so does reading
	_, _ = io.Copy(io.Discard, st.Conn)
}

func (s *Server) serveStream(c *Call, m *streamMethod, req structs.RPCRequest, st *stream) error {
	if err := c.checkPeerName(); err != nil {
		return err
	}
	addr, err := s.streamTarget(c, req)
	if err != nil {
		return err
	}
	if addr != "" {
		return s.proxyStream(c, addr, req, st)
	}
	if err := c.authenticate(); err != nil {
		return err
	}
	req.SetToken("")
	if err := c.authorize(req); err != nil {
		return err
	}
	release, err := s.limits.acquire(m.Blocking)
	if err != nil {
		return err
	}
	defer release()
	return m.act(c, req, st)
}

// streamTarget is the server that a streaming call is to be passed on to, empty when this one answers it.
func (s *Server) streamTarget(c *Call, req structs.RPCRequest) (string, error) {
	switch region := req.RequestRegion(); {
	case region == "":
		return "", structs.ErrMissingRegion
	case region != s.cfg.Region:
		servers := s.deps.Cluster.RegionServers(region)
		if len(servers) == 0 || c.cameForwarded {
			return "", fmt.Errorf("%w: %s", structs.ErrNoRegionPath, region)
		}
		return servers[0], nil
	case req.StaleAllowed() || c.method.Route == RouteRegion || s.deps.Leader.IsLeader():
		return "", nil
	}
	if addr := s.deps.Leader.LeaderAddr(); addr != "" && !s.deps.Leader.Leading() && !c.cameForwarded {
		return addr, nil
	}
	return "", s.noLeader()
}

// proxyStream carries the call to another server, byte by byte in both directions.
func (s *Server) proxyStream(c *Call, addr string, req structs.RPCRequest, st *stream) error {
	up, err := s.dialStream(c, addr)
	if err != nil {
		return err
	}
	return s.carry(c, up, addr, req, st, func() error {
		_, err := io.Copy(st.Conn, up)
		return err
	})
}

// dialStream begins the call anew at another server.
func (s *Server) dialStream(c *Call, addr string) (net.Conn, error) {
	up, err := s.deps.Pool.Stream(c.ctx, addr, c.method.Name)
	if err != nil {
		return nil, fmt.Errorf("forward %s to %s: %w", c.method.Name, addr, err)
	}
	return up, nil
}

// carry sends the request and what follows it over up, which it closes, to whoever is at the other end, and has answers brought
// back.
func (s *Server) carry(c *Call, up net.Conn, to string, req structs.RPCRequest, st *stream, answers func() error) error {
	defer up.Close()
	defer context.AfterFunc(c.ctx, func() { _ = up.Close() })()
	req.SetForwarded()
	body, err := structs.EncodeBytes(req)
	if err != nil {
		return fmt.Errorf("forward %s: %w", c.method.Name, err)
	}
	if _, err := up.Write(body); err != nil {
		return fmt.Errorf("forward %s to %s: %w", c.method.Name, to, err)
	}
	go func() {
		// The caller's end of sending is not the end of the call: the answer is still to come.
		_, _ = io.Copy(up, st.in.Rest())
	}()
	if err := answers(); err != nil && !errors.Is(err, net.ErrClosed) {
		s.log.Debug("forwarded stream ended early", "method", c.method.Name, "to", to, "error", err)
	}
	return nil
}

// send writes one value.
func (st *stream) send(v any) error {
	b, err := structs.EncodeBytes(v)
	if err != nil {
		return err
	}
	_, err = st.Write(b)
	return err
}

// frames is the payload of the StreamFrames that follow on a stream, as a reader. It ends with io.EOF only at the
// sender's good end; a stream that breaks off is io.ErrUnexpectedEOF.
type frames struct {
	conn net.Conn
	in   *transport.Reader
	rest []byte
	err  error
}

// maxFrame bounds one frame of a sender, which may choose other sizes than we do.
const maxFrame = 8 << 20

func (f *frames) Read(p []byte) (int, error) {
	for len(f.rest) == 0 && f.err == nil {
		f.next()
	}
	if len(f.rest) > 0 {
		n := copy(p, f.rest)
		f.rest = f.rest[n:]
		return n, nil
	}
	return 0, f.err
}

func (f *frames) next() {
	_ = f.conn.SetReadDeadline(time.Now().Add(frameTimeout)) // if it fails, so does reading
	body, err := f.in.ReadValue("archive", structs.Limits{MaxBytes: maxFrame})
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	var frame structs.StreamFrame
	if err == nil {
		err = structs.Decode(body, &frame)
	}
	switch {
	case err != nil:
		f.err = fmt.Errorf("receive archive: %w", err)
	case frame.Error != nil && frame.Error.Message == structs.StreamEOF:
		f.err = io.EOF
	case frame.Error != nil:
		f.err = fmt.Errorf("receive archive: the sender gave up: %s", frame.Error.Message)
	}
	f.rest = frame.Payload
}
