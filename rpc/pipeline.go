package rpc

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/acl"
	"github.com/rollcall-id/rollcall/internal/quietlog"
	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

// Route says where a method may act.
type Route int

const (
	// RouteLeader: on the leader of the request's region; reads that allow it on any server of the region.
	RouteLeader Route = iota
	// RouteRegion: on any server of the request's region.
	RouteRegion
	// RouteLocal: where it arrives.
	RouteLocal
)

// Spec is what the pipeline has to know of a method before it runs.
type Spec struct {
	Name  string // "Service.Method"
	Route Route
	// Track makes the caller's connection known as the node's once the call succeeded.
	Track func(req any) (nodeID string)
	// Blocking tells the limiter that the call may wait for a change.
	Blocking bool
	// MaxBytes bounds the encoded request; 0 means DefaultMaxBytes.
	MaxBytes int
	// Changes is for a method that changes something though its request is a read's: no stale server may act.
	Changes bool
	// Repeatable is for a change that may be made once more when its outcome is not known: twice does the same as once, and the
	// caller would repeat it, too. A follower then stands in for a leader that is lost in the middle.
	Repeatable bool
}

// DefaultMaxBytes bounds an encoded request whose Spec says nothing.
const DefaultMaxBytes = 1 << 20

// Call is one request on its way through the pipeline. It is used by one goroutine.
type Call struct {
	ctx    context.Context
	srv    *Server
	conn   *transport.Conn // nil when the call was made in this process
	method *method
	now    time.Time
	token  string

	cameForwarded bool               // another server sent it on to us
	caller        *Caller            // set by authenticate
	req           structs.RPCRequest // set where the call is answered, without its token
}

// Context ends when the caller goes away or the server stops.
func (c *Call) Context() context.Context { return c.ctx }

// Now is the time at which the call is judged; one for the whole call, unless it waits for a change.
func (c *Call) Now() time.Time { return c.now }

// method is one row of the table.
type method struct {
	Spec
	access     Access
	newRequest func() structs.RPCRequest
	newReply   func() any
	act        func(c *Call, req, reply any) error
}

// request constrains PReq to be a *Req that the pipeline understands.
type request[Req any] interface {
	*Req
	structs.RPCRequest
}

// handle adds a method to the table. Who may call it is what the access table says (access_table.go).
func handle[Req, Reply any, PReq request[Req]](s *Server, spec Spec, act func(*Call, *Req, *Reply) error) {
	if spec.MaxBytes == 0 {
		spec.MaxBytes = DefaultMaxBytes
	}
	if act == nil || s.methods[spec.Name] != nil {
		panic("rpc: method " + spec.Name + " is registered twice or does nothing")
	}
	service, _, _ := strings.Cut(spec.Name, ".")
	s.services[service] = true
	s.methods[spec.Name] = &method{
		Spec:       spec,
		access:     accessOf(spec.Name, PReq(nil)),
		newRequest: func() structs.RPCRequest { return PReq(new(Req)) },
		newReply:   func() any { return new(Reply) },
		act:        func(c *Call, req, reply any) error { return act(c, req.(*Req), reply.(*Reply)) },
	}
}

// Server holds the method table and runs the pipeline. It is safe for concurrent use.
type Server struct {
	cfg      Config
	deps     Deps
	log      hclog.Logger
	hostile  *quietlog.Log // for lines that peers can provoke
	methods  map[string]*method
	streams  map[string]*streamMethod
	services map[string]bool
	limits   *limiter
	versions versionCache
	acls     acl.Cache
	// nodeLocks keep two calls of one node from deciding on the same record: what a registration carries over
	// must not undo a renewal that names another signing key.
	nodeLocks nodeLocks
}

// New returns a server with all endpoints registered. It panics if the access table does not say who may call each of them.
func New(cfg Config, deps Deps) *Server {
	if cfg.AuthoritativeRegion == "" {
		cfg.AuthoritativeRegion = cfg.Region
	}
	s := &Server{
		cfg: cfg, deps: deps, log: deps.Logger.Named("rpc"), hostile: quietlog.New(deps.Logger.Named("rpc"), cfg.HostileLogRate),
		methods: make(map[string]*method), streams: make(map[string]*streamMethod), services: make(map[string]bool),
		limits: newLimiter(&cfg, deps.Metrics),
	}
	s.registerMethods()
	s.checkAccessTable()
	return s
}

// ServeRPC runs a request that came over a connection.
func (s *Server) ServeRPC(ctx context.Context, conn *transport.Conn, name string, body []byte) (any, error) {
	m, err := s.lookup(name)
	if err != nil {
		return nil, err
	}
	if len(body) > m.MaxBytes {
		return nil, structs.Coded(413, "%s: request of %d bytes is larger than %d", name, len(body), m.MaxBytes)
	}
	req := m.newRequest()
	if err := structs.Decode(body, req); err != nil {
		return nil, structs.Coded(400, "%s: decode request: %w", name, err)
	}
	return s.run(ctx, conn, m, req)
}

// RPC runs a request made in this process, through the same pipeline. args and reply must be pointers to the
// method's types; args is not changed.
func (s *Server) RPC(ctx context.Context, name string, args, reply any) error {
	m, err := s.lookup(name)
	if err != nil {
		return err
	}
	req := m.newRequest()
	src, dst := reflect.ValueOf(args), reflect.ValueOf(req)
	if src.Type() != dst.Type() {
		return fmt.Errorf("%s: argument is a %T, want a %T", name, args, req)
	}
	dst.Elem().Set(src.Elem())
	out, err := s.run(ctx, nil, m, req)
	if err != nil {
		return err
	}
	from, to := reflect.ValueOf(out), reflect.ValueOf(reply)
	if from.Type() != to.Type() {
		return fmt.Errorf("%s: reply is a %T, want a %T", name, reply, out)
	}
	to.Elem().Set(from.Elem())
	return nil
}

func (s *Server) lookup(name string) (*method, error) {
	if m, ok := s.methods[name]; ok {
		return m, nil
	}
	if service, _, _ := strings.Cut(name, "."); s.services[service] {
		return nil, transport.ErrUnknownMethod(name)
	}
	return nil, transport.ErrUnknownService(name)
}

// run is the pipeline.
func (s *Server) run(ctx context.Context, conn *transport.Conn, m *method, req structs.RPCRequest) (any, error) {
	c := &Call{ctx: ctx, srv: s, conn: conn, method: m, now: s.deps.Clock(), token: req.Token(), cameForwarded: req.IsForwarded()}
	if err := c.checkPeerName(); err != nil {
		return nil, err
	}
	reply := m.newReply()
	forwarded, err := s.forward(c, req, reply)
	if !forwarded && err == nil {
		err = s.serve(c, req, reply)
	}
	if err != nil {
		return nil, err
	}
	if m.Track != nil && conn != nil && !c.cameForwarded {
		s.deps.Sessions.Track(m.Track(req), conn)
	}
	return reply, nil
}

// serve runs the steps that happen where the call is answered.
func (s *Server) serve(c *Call, req structs.RPCRequest, reply any) error {
	// The token has served its purpose once the caller is known; nothing after this may store or log it.
	if err := c.authenticate(); err != nil {
		return err
	}
	req.SetToken("")
	c.req = req
	if err := c.authorize(req); err != nil {
		return err
	}
	release, err := s.limits.acquire(c.method.Blocking && c.mayBlock(req))
	if err != nil {
		return err
	}
	defer release()
	return c.method.act(c, req, reply)
}

// mayBlock reports whether the request asks to wait for a change.
func (c *Call) mayBlock(req any) bool {
	q, ok := req.(interface{ Query() *structs.QueryOptions })
	return ok && q.Query().MinQueryIndex > 0
}
