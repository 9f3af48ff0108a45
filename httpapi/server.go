package httpapi

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-metrics"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-id/rollcall/internal/trust"
	"github.com/rollcall-id/rollcall/structs"
)

const (
	// writeTimeout bounds how long a client may take to take a reply. Before it a blocking query may wait for minutes, so
	// neither this nor Config.BodyTimeout is a deadline of the whole request.
	writeTimeout = 2 * time.Minute
	// idleTimeout is how long a kept-alive connection may be unused.
	idleTimeout = 2 * time.Minute
	// maxHeaderBytes leaves room for a token and a long filter expression.
	maxHeaderBytes = 64 << 10

	// Defaults of Config.
	headerTimeout = 10 * time.Second
	bodyTimeout   = 30 * time.Second
	retryAfter    = time.Second
)

// Config says where to listen and what the agent tells of itself.
type Config struct {
	Logger hclog.Logger // nil discards
	// Logs is the log of the whole process, for those who follow it; nil: nobody can.
	Logs hclog.InterceptLogger
	// Addrs are host:port values to listen on; Listeners are served besides them and closed by Shutdown.
	Addrs     []string
	Listeners []net.Listener
	// Region is what a request without one means. Datacenter and NodeName are shown by /v1/agent/self.
	Region     string
	Datacenter string
	NodeName   string
	// TLS makes all of them HTTPS; HandshakeTimeout is how long a handshake may take, 0 without end.
	TLS              *tls.Config
	HandshakeTimeout time.Duration
	// Public leaves only what is for everyone: the keys, OIDC discovery and health.
	Public bool
	// EnableDebug lets an agent without a server be profiled.
	EnableDebug bool
	// MaxConnsPerClient is how many connections one IP address may hold open; 0 or less means no limit.
	MaxConnsPerClient int
	// MaxRequestsPerClient is how many requests it may have under way, MaxBytesPerClient how many bytes of bodies, with
	// an allowance for what decoding makes of them; 0 or less means no limit.
	MaxRequestsPerClient, MaxBytesPerClient int
	// HeaderTimeout bounds how long a client may take to send a request's header, BodyTimeout the same of a body.
	// 0 means the default.
	HeaderTimeout, BodyTimeout time.Duration
	// MaxBodyBytes bounds a request body; 0 means the default.
	MaxBodyBytes int
	// RetryAfter is the pause that is asked of a client that was refused; 0 means the default.
	RetryAfter time.Duration
	// ACL says whether this agent asks for tokens where it answers by itself.
	ACL ACLConfig
	// AgentConfig returns the agent's configuration without anything secret. nil shows the three fields above only.
	AgentConfig func() map[string]any
	// Reload takes the configuration anew, as SIGHUP does; nil: it can't be asked for. It must return soon after ctx is done.
	Reload func(ctx context.Context) error
	// Metrics is what /v1/metrics shows; nil means an empty one.
	Metrics *metrics.InmemSink
	// PrometheusMetrics allows /v1/metrics?format=prometheus, which shows Gatherer (nil: the process-wide default).
	PrometheusMetrics  bool
	PrometheusGatherer prometheus.Gatherer
}

// RPC calls a method by its name, in this process or on a server. reply is a pointer that is filled. Errors carry the
// wire texts of structs/errors.go. It must return soon after ctx is done.
type RPC interface {
	RPC(ctx context.Context, method string, args, reply any) error
	// Stream starts a streaming call and returns its connection, on which the method's own protocol runs; the caller
	// closes it. ctx is that of the whole call.
	Stream(ctx context.Context, method string) (net.Conn, error)
}

// Server is the server part of the agent.
type Server interface {
	// Join asks the gossip pools of addrs in and returns how many answered.
	Join(ctx context.Context, addrs []string) (joined int, err error)
	// ForceLeave marks a failed member as gone; prune forgets it as well.
	ForceLeave(ctx context.Context, name string, prune bool) error
	// The keys of the gossip pool, in base64; all servers are asked.
	ListGossipKeys() (*structs.GossipKeysResponse, error)
	InstallGossipKey(key string) (*structs.GossipKeysResponse, error)
	UseGossipKey(key string) (*structs.GossipKeysResponse, error)
	RemoveGossipKey(key string) (*structs.GossipKeysResponse, error)
	// Stats returns groups of numbers for people.
	Stats() map[string]map[string]string
	LocalMember() *structs.ServerMember
}

// Client is the node part of the agent.
type Client interface {
	NodeID() string
	// IdentityClaims returns the claims of the node's identity, structs.ErrNoIdentity before the first.
	IdentityClaims() (map[string]any, error)
	// Renew asks for a new identity with the next heartbeat.
	Renew()
	// NodeMeta returns the node's metadata; ApplyNodeMeta changes it, errors of bad changes being coded 400.
	NodeMeta() *structs.NodeMetaResponse
	ApplyNodeMeta(changes map[string]*string) (*structs.NodeMetaResponse, error)
	// HostStats tells what the node's machine is busy with.
	HostStats(ctx context.Context) (*structs.HostStats, error)
	Stats() map[string]map[string]string
	// Servers returns the RPC addresses in use; SetServers replaces them.
	Servers() []string
	SetServers(addrs []string) error
	// Health reports whether the node reaches its servers, and a word about it.
	Health() (ok bool, message string)
}

// HTTPServer serves the API. Make it with New.
type HTTPServer struct {
	cfg    Config
	log    hclog.Logger
	rpc    RPC
	server Server
	client Client

	routes    *node
	acls      *resolver
	origin    *http.CrossOriginProtection
	now       func() time.Time
	jitter    func(time.Duration) time.Duration // up to the given length
	http      *http.Server
	listeners []net.Listener
	peers     trust.Conns

	drain    context.Context // done when Shutdown begins
	stopRead context.CancelCauseFunc
}

var _ http.Handler = (*HTTPServer)(nil)

// New listens on the configured addresses. srv is nil on an agent that is only a client, cli on one that is only a server.
func New(cfg Config, rpc RPC, srv Server, cli Client) (*HTTPServer, error) {
	if rpc == nil {
		return nil, errors.New("start HTTP API: no RPC to forward to")
	}
	if cfg.Region == "" {
		return nil, errors.New("start HTTP API: no region")
	}
	for _, r := range routeTable {
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("start HTTP API: %w", err)
		}
	}
	cfg.fillLimits()
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	if cfg.Metrics == nil {
		cfg.Metrics = metrics.NewInmemSink(10*time.Second, time.Minute)
	}
	if cfg.PrometheusGatherer == nil {
		cfg.PrometheusGatherer = prometheus.DefaultGatherer
	}
	table := routeTable
	if cfg.Public {
		table = publicRoutes(routeTable)
	}
	s := &HTTPServer{
		cfg: cfg, log: cfg.Logger.Named("http"), rpc: rpc, server: srv, client: cli,
		routes: buildRoutes(table), origin: http.NewCrossOriginProtection(),
		now: time.Now, jitter: rand.N[time.Duration],
	}
	s.acls = newResolver(cfg.ACL, rpc, cfg.Region, s.now)
	s.drain, s.stopRead = context.WithCancelCause(context.Background())
	s.http = &http.Server{
		Handler: s, ReadHeaderTimeout: cfg.HeaderTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ConnContext: withShare, ConnState: noteRequest,
		ErrorLog: s.log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}
	book := newQuota(cfg)
	s.listeners = append(s.listeners, cfg.Listeners...)
	for _, addr := range cfg.Addrs {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			s.closeListeners()
			return nil, fmt.Errorf("start HTTP API: %w", err)
		}
		s.listeners = append(s.listeners, l)
	}
	for i, l := range s.listeners {
		s.listeners[i] = &limitedListener{Listener: l, book: book}
		if cfg.TLS != nil {
			s.listeners[i] = newTLSListener(s.listeners[i], cfg.TLS, cfg.HandshakeTimeout, &s.peers, s.log)
		}
	}
	return s, nil
}

// fillLimits sets the defaults of limits that are not given.
func (c *Config) fillLimits() {
	c.HeaderTimeout = cmp.Or(c.HeaderTimeout, headerTimeout)
	c.BodyTimeout = cmp.Or(c.BodyTimeout, bodyTimeout)
	c.MaxBodyBytes = cmp.Or(c.MaxBodyBytes, maxBody)
	c.RetryAfter = cmp.Or(c.RetryAfter, retryAfter)
}

// Addrs returns the addresses that are listened on.
func (s *HTTPServer) Addrs() []net.Addr {
	addrs := make([]net.Addr, len(s.listeners))
	for i, l := range s.listeners {
		addrs[i] = l.Addr()
	}
	return addrs
}

// Recheck closes the connections whose clients Config.TLS does not trust any more, and returns why, one error for each.
func (s *HTTPServer) Recheck() []error { return s.peers.Recheck() }

// Serve answers requests until Shutdown, then returns nil. If one listener fails it stops the others and returns why.
// Call it once.
func (s *HTTPServer) Serve() error {
	errs := make([]error, len(s.listeners))
	var wg sync.WaitGroup
	for i, l := range s.listeners {
		wg.Go(func() {
			if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				errs[i] = fmt.Errorf("serve HTTP on %s: %w", l.Addr(), err)
				s.stopRead(errShuttingDown)
				_ = s.http.Close()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Shutdown stops listening, answers reads that wait with 503 and waits for writes. When ctx is done first, it closes the
// remaining connections and returns ctx's error.
func (s *HTTPServer) Shutdown(ctx context.Context) error {
	s.stopRead(errShuttingDown)
	err := s.http.Shutdown(ctx)
	if err != nil {
		_ = s.http.Close()
		err = fmt.Errorf("stop HTTP API: %w", err)
	}
	s.closeListeners() // those that Serve was never called for
	return err
}

func (s *HTTPServer) closeListeners() {
	for _, l := range s.listeners {
		_ = l.Close()
	}
}
