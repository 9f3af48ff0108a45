package structs

import "time"

// DefaultNamespace is what an empty namespace means.
const DefaultNamespace = "default"

// QueryOptions are flattened into every read request (wire.md §1.7).
type QueryOptions struct {
	Region        string
	Namespace     string
	MinQueryIndex uint64        // block until the reply's Index exceeds it; 0 answers at once
	MaxQueryTime  time.Duration // longest time to block; ≤ 0 means the server's default
	AllowStale    bool          // any server may answer
	Prefix        string
	AuthToken     string
	Filter        string
	PerPage       int32
	NextToken     string
	Reverse       bool
	Forwarded     bool
}

// WriteRequest is flattened into every write request (wire.md §1.7).
type WriteRequest struct {
	Region           string
	Namespace        string
	AuthToken        string
	IdempotencyToken string
	Forwarded        bool
}

// QueryMeta is flattened into every read's reply.
type QueryMeta struct {
	Index       uint64
	LastContact time.Duration
	KnownLeader bool
	NextToken   string
}

// WriteMeta is flattened into every write's reply.
type WriteMeta struct {
	Index uint64
}

// RPCRequest is what the pipeline needs to know of any request.
type RPCRequest interface {
	RequestRegion() string
	SetRegion(string)
	Token() string
	SetToken(string)
	IsForwarded() bool
	SetForwarded()
	// IsRead reports whether the request changes nothing.
	IsRead() bool
	// StaleAllowed reports whether any server may answer; only reads may be stale.
	StaleAllowed() bool
}

func (q *QueryOptions) RequestRegion() string { return q.Region }
func (q *QueryOptions) SetRegion(r string)    { q.Region = r }
func (q *QueryOptions) Token() string         { return q.AuthToken }
func (q *QueryOptions) SetToken(t string)     { q.AuthToken = t }
func (q *QueryOptions) IsForwarded() bool     { return q.Forwarded }
func (q *QueryOptions) SetForwarded()         { q.Forwarded = true }
func (q *QueryOptions) IsRead() bool          { return true }
func (q *QueryOptions) StaleAllowed() bool    { return q.AllowStale }

// Query returns the options themselves, so that shared code can reach them through an interface.
func (q *QueryOptions) Query() *QueryOptions { return q }

func (w *WriteRequest) RequestRegion() string { return w.Region }
func (w *WriteRequest) SetRegion(r string)    { w.Region = r }
func (w *WriteRequest) Token() string         { return w.AuthToken }
func (w *WriteRequest) SetToken(t string)     { w.AuthToken = t }
func (w *WriteRequest) IsForwarded() bool     { return w.Forwarded }
func (w *WriteRequest) SetForwarded()         { w.Forwarded = true }
func (w *WriteRequest) IsRead() bool          { return false }
func (w *WriteRequest) StaleAllowed() bool    { return false }

// Meta returns the reply's metadata, so that shared code can fill it through an interface.
func (m *QueryMeta) Meta() *QueryMeta { return m }

var (
	_ RPCRequest = (*QueryOptions)(nil)
	_ RPCRequest = (*WriteRequest)(nil)
)

// GenericRequest is a read without arguments of its own.
type GenericRequest struct {
	QueryOptions
}

// GenericResponse is a write's reply without content of its own.
type GenericResponse struct {
	WriteMeta
}

// Empty is encoded as an empty map.
type Empty struct{}
