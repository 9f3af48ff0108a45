package httpapi

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// queryOptions reads what every read may carry: region, namespace, token, consistency, blocking and paging.
func (c *call) queryOptions(q *structs.QueryOptions) (err error) {
	q.Region, q.Namespace, q.AuthToken = c.region(), c.namespace(), c.token()
	q.Prefix, q.Filter, q.NextToken = c.query.Get("prefix"), c.query.Get("filter"), c.query.Get("next_token")
	if q.AllowStale, err = c.flag("stale"); err != nil {
		return err
	}
	if q.Reverse, err = c.flag("reverse"); err != nil {
		return err
	}
	if s := c.query.Get("index"); s != "" {
		if q.MinQueryIndex, err = strconv.ParseUint(s, 10, 64); err != nil {
			return badRequest("Invalid index")
		}
	}
	if s := c.query.Get("wait"); s != "" {
		if q.MaxQueryTime, err = time.ParseDuration(s); err != nil || q.MaxQueryTime < 0 {
			return badRequest("Invalid wait time")
		}
	}
	if s := c.query.Get("per_page"); s != "" {
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil || n < 0 {
			return badRequest("Invalid per_page: want a whole number, 0 for no limit")
		}
		q.PerPage = int32(n)
	}
	return nil
}

// writeRequest reads what every write may carry.
func (c *call) writeRequest() structs.WriteRequest {
	return structs.WriteRequest{
		Region: c.region(), Namespace: c.namespace(), AuthToken: c.token(), IdempotencyToken: c.query.Get("idempotency_token"),
	}
}

// regionRule is what may be the name of a region, here or in the compatible system.
var regionRule = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

func (c *call) region() string {
	if r := c.query.Get("region"); r != "" {
		return r
	}
	return c.cfg.Region
}

func (c *call) namespace() string {
	if n := c.query.Get("namespace"); n != "" {
		return n
	}
	return structs.DefaultNamespace
}

// token returns the caller's token: the header of the compatible API, else a bearer token.
func (c *call) token() string {
	if t := strings.TrimSpace(c.r.Header.Get("X-Nomad-Token")); t != "" {
		return t
	}
	scheme, t, _ := strings.Cut(strings.TrimSpace(c.r.Header.Get("Authorization")), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(t)
	}
	return ""
}

// flag reads a boolean parameter; present without a value means true.
func (c *call) flag(name string) (bool, error) {
	if !c.query.Has(name) {
		return false, nil
	}
	s := c.query.Get(name)
	if s == "" {
		return true, nil
	}
	v, err := strconv.ParseBool(s)
	if err != nil {
		return false, badRequest("Invalid value for %s: want true or false", name)
	}
	return v, nil
}

// casIndex reads the cas parameter: the ModifyIndex that the stored value must still have.
func (c *call) casIndex() (index uint64, cas bool, err error) {
	if !c.query.Has("cas") {
		return 0, false, nil
	}
	index, err = strconv.ParseUint(c.query.Get("cas"), 10, 64)
	if err != nil {
		return 0, false, badRequest("Invalid cas: want the ModifyIndex of the stored configuration")
	}
	return index, true, nil
}

// stubFields reads which optional parts of a node the caller wants in a list.
func (c *call) stubFields() (*structs.NodeStubFields, error) {
	resources, err := c.flag("resources")
	if err != nil {
		return nil, err
	}
	osName, err := c.flag("os")
	if err != nil {
		return nil, err
	}
	return &structs.NodeStubFields{Resources: resources, OS: osName}, nil
}

// setMeta writes the metadata of a read.
func (c *call) setMeta(m *structs.QueryMeta) {
	h := c.w.Header()
	c.setIndex(m.Index)
	setHeader(h, "X-Nomad-LastContact", strconv.FormatInt(m.LastContact.Milliseconds(), 10))
	setHeader(h, "X-Nomad-KnownLeader", strconv.FormatBool(m.KnownLeader))
	if m.NextToken != "" {
		setHeader(h, "X-Nomad-NextToken", m.NextToken)
	}
}

func (c *call) setIndex(index uint64) {
	setHeader(c.w.Header(), "X-Nomad-Index", strconv.FormatUint(index, 10))
}

// setHeader keeps line breaks, which a name from elsewhere might hold, out of the header; net/http would as well.
func setHeader(h http.Header, name, value string) {
	h.Set(name, strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, value))
}
