package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// QueryOptions shape a read; the zero value asks the leader and answers at once.
type QueryOptions struct {
	Region     string // overrides the client's
	Namespace  string // overrides the client's
	AllowStale bool   // any server may answer
	// WaitIndex blocks until the answer's index exceeds it, for at most WaitTime (0: the server's five minutes).
	WaitIndex uint64
	WaitTime  time.Duration
	Prefix    string // of IDs
	Filter    string // go-bexpr expression
	PerPage   int    // 0 means everything
	NextToken string // from the page before
	Reverse   bool
	// Resources and OS ask node lists for these parts of each node.
	Resources bool
	OS        bool
}

// WriteOptions shape a write.
type WriteOptions struct {
	Region           string // overrides the client's
	Namespace        string // overrides the client's
	IdempotencyToken string
}

// QueryMeta tells how current a read is. Index is 0 for answers that don't come from replicated state.
type QueryMeta struct {
	Index       uint64
	LastContact time.Duration // since the answering server heard of the leader
	KnownLeader bool
	NextToken   string // of the next page; empty after the last
}

// Result is what a read returned.
type Result[T any] struct {
	Value T
	Meta  QueryMeta
}

func (c *Client) queryParams(q *QueryOptions) url.Values {
	if q == nil {
		q = &QueryOptions{}
	}
	p := c.scope(q.Region, q.Namespace)
	set := func(name, value string, given bool) {
		if given {
			p.Set(name, value)
		}
	}
	set("stale", "true", q.AllowStale)
	set("index", strconv.FormatUint(q.WaitIndex, 10), q.WaitIndex > 0)
	set("wait", q.WaitTime.String(), q.WaitTime > 0)
	set("prefix", q.Prefix, q.Prefix != "")
	set("filter", q.Filter, q.Filter != "")
	set("per_page", strconv.Itoa(q.PerPage), q.PerPage > 0)
	set("next_token", q.NextToken, q.NextToken != "")
	set("reverse", "true", q.Reverse)
	set("resources", "true", q.Resources)
	set("os", "true", q.OS)
	return p
}

func (c *Client) writeParams(w *WriteOptions) url.Values {
	if w == nil {
		w = &WriteOptions{}
	}
	p := c.scope(w.Region, w.Namespace)
	if w.IdempotencyToken != "" {
		p.Set("idempotency_token", w.IdempotencyToken)
	}
	return p
}

func (c *Client) scope(region, namespace string) url.Values {
	p := url.Values{}
	if region == "" {
		region = c.cfg.Region
	}
	if namespace == "" {
		namespace = c.cfg.Namespace
	}
	if region != "" {
		p.Set("region", region)
	}
	if namespace != "" {
		p.Set("namespace", namespace)
	}
	return p
}

// query reads path into a Result.
func query[T any](ctx context.Context, c *Client, path string, params url.Values, accept ...int) (*Result[T], error) {
	var out Result[T]
	h, err := c.do(ctx, http.MethodGet, path, params, nil, &out.Value, accept...)
	if err != nil {
		return nil, err
	}
	out.Meta = queryMeta(h)
	return &out, nil
}

func queryMeta(h http.Header) (m QueryMeta) {
	m.Index, _ = strconv.ParseUint(h.Get("X-Nomad-Index"), 10, 64)
	ms, _ := strconv.ParseInt(h.Get("X-Nomad-LastContact"), 10, 64)
	m.LastContact = time.Duration(ms) * time.Millisecond
	m.KnownLeader = h.Get("X-Nomad-KnownLeader") == "true"
	m.NextToken = h.Get("X-Nomad-NextToken")
	return m
}

// write sends a request that changes something and decodes its answer.
func write[T any](ctx context.Context, c *Client, method, path string, params url.Values, in any) (*T, error) {
	var out T
	if _, err := c.do(ctx, method, path, params, in, &out); err != nil {
		return nil, err
	}
	return &out, nil
}
