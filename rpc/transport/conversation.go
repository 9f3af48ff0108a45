package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/internal/quota"
	"github.com/rollcall-id/rollcall/structs"
)

const (
	emptyMap = 0x80 // the body of a response that has none
	// copiedBody is up to what size a body is copied into its request's own buffer; larger ones take the reader's.
	copiedBody = 32 << 10
	// knownMethods bounds the method names that a conversation remembers to spare allocating them.
	knownMethods = 32
	// writeDeadlineSlack is how far a write deadline may lag, so that it is not set for every reply.
	writeDeadlineSlack = time.Second
)

// engine serves conversations: those that a Server accepts and those that a Pool's servers open toward it.
type engine struct {
	handler     Handler
	log         hclog.Logger
	limits      structs.Limits
	timeout     time.Duration // for a frame that has begun
	handshake   time.Duration // for saying what a stream is
	maxInFlight int
	workers     *workers
	overloaded  error // the answer to a request beyond what its source address may have
}

// conversation is one stream of requests and responses.
type conversation struct {
	e      *engine
	ctx    context.Context
	peer   *Conn
	stream net.Conn
	slots  chan struct{} // one for each request being handled
	wg     sync.WaitGroup

	mu       sync.Mutex // guards writing to stream, and the fields below
	deadline time.Time
	failed   bool
}

// serve reads and answers requests until the peer ends the stream, which is no error, or breaks the protocol. It closes
// stream and returns when all handlers have.
func (e *engine) serve(ctx context.Context, peer *Conn, stream net.Conn, r *Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	c := &conversation{e: e, ctx: ctx, peer: peer, stream: stream, slots: make(chan struct{}, e.maxInFlight)}
	err := c.readLoop(r)
	r.release()
	if err == io.EOF || peer.ended() {
		err = nil
	}
	cancel()
	if peer.session == nil {
		peer.end()
	}
	c.wg.Wait()
	stream.Close()
	return err
}

func (c *conversation) readLoop(r *Reader) error {
	methods := make(map[string]string)
	for {
		head, err := r.ReadValue("request header", headerLimits)
		if err != nil {
			return err
		}
		req := requests.Get().(*request)
		if err := req.setHeader(head, methods); err != nil {
			return err
		}
		body, err := r.readNext("request body", c.e.limits)
		if err != nil {
			return err
		}
		over := req.take(r, body)
		r.finish()
		if over != nil || !c.peer.share.Take(quota.Requests, 1) {
			c.write(req.response(nil, c.e.overloaded))
			req.free(r.budget)
			continue
		}
		c.slots <- struct{}{}
		c.wg.Add(1)
		c.peer.calls.Add(1)
		req.c, req.budget = c, r.budget
		c.e.workers.run(req)
	}
}

// request is one request being handled.
type request struct {
	c       *conversation
	seq     uint64
	method  string
	body    []byte
	budget  *budget
	charged int // what the body takes of the budget
	scratch []byte
	out     []byte
}

var requests = sync.Pool{New: func() any { return new(request) }}

func (r *request) setHeader(b []byte, methods map[string]string) error {
	var f headerFields
	if !f.parse(b) {
		h, err := ParseHeader(b)
		r.seq, r.method = h.Seq, h.ServiceMethod
		return err
	}
	r.seq = f.seq
	if m, ok := methods[string(f.method)]; ok {
		r.method = m
		return nil
	}
	r.method = string(f.method)
	if len(methods) < knownMethods {
		methods[r.method] = r.method
	}
	return nil
}

// take makes the body, just read, the request's own. It counts with an allowance for what decoding makes of its values.
func (r *request) take(in *Reader, body []byte) error {
	cost := in.scan.Values() * valueCost
	if len(body) <= copiedBody {
		cost += len(body)
	}
	if err := in.budget.take(cost); err != nil {
		return err
	}
	r.charged = cost
	if len(body) <= copiedBody {
		r.scratch = append(r.scratch[:0], body...)
		r.body = r.scratch
		return nil
	}
	var grown int
	r.body, grown = in.give(body)
	r.charged += grown
	return nil
}

// serve handles the request, writes the response and frees the request.
func (r *request) serve() {
	c := r.c
	reply, err := r.call()
	c.write(r.response(reply, err))
	c.peer.share.Give(quota.Requests, 1)
	r.free(r.budget)
	c.peer.calls.Add(-1)
	<-c.slots
	c.wg.Done()
}

// free gives back what the request was charged, and itself for reuse.
func (r *request) free(b *budget) {
	b.give(r.charged)
	r.c, r.budget, r.body, r.method, r.charged = nil, nil, nil, "", 0
	if cap(r.out) > keptBufferSize {
		r.out = nil
	}
	requests.Put(r)
}

// call runs the handler. A panic is the handler's bug and may be provoked by a peer: it fails the request, not the server.
func (r *request) call() (reply any, err error) {
	defer func() {
		if x := recover(); x != nil {
			r.c.e.log.Error("handler panicked", "method", r.method, "panic", x, "stack", string(debug.Stack()))
			reply, err = nil, fmt.Errorf("internal error in %s", r.method)
		}
	}()
	return r.c.e.handler.ServeRPC(r.c.ctx, r.c.peer, r.method, r.body)
}

// response is the encoded response; the request owns it.
func (r *request) response(reply any, err error) []byte {
	h := ResponseHeader{Seq: r.seq, ServiceMethod: r.method}
	if err == nil && reply != nil {
		r.out = AppendResponseHeader(r.out[:0], h)
		if r.out, err = structs.AppendEncode(r.out, reply); err == nil {
			return r.out
		}
		r.c.e.log.Error("encoding a reply", "method", r.method, "error", err)
	}
	if err != nil {
		h.Error = err.Error()
		if h.Error == "" {
			h.Error = "unspecified error" // an empty text would mean success
		}
	}
	r.out = append(AppendResponseHeader(r.out[:0], h), emptyMap)
	return r.out
}

// write sends one whole response. If that fails the stream is unusable; interrupting it ends the read loop.
func (c *conversation) write(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed {
		return
	}
	if now := time.Now(); c.e.timeout > 0 && c.deadline.Before(now.Add(c.e.timeout-writeDeadlineSlack)) {
		c.deadline = now.Add(c.e.timeout)
		c.stream.SetWriteDeadline(c.deadline)
	}
	if _, err := c.stream.Write(b); err != nil {
		c.failed = true
		c.stream.SetDeadline(longAgo)
		if !errors.Is(err, net.ErrClosed) && !c.peer.ended() {
			c.e.log.Debug("writing a response", "peer", c.peer.RemoteAddr(), "error", err)
		}
	}
}
