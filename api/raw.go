package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// RawRequest is a request that has no method of its own here.
type RawRequest struct {
	Method string
	Path   string // begins with a slash; escaped as it is to be sent
	Params url.Values
	Header http.Header // added to the client's own
	Body   io.Reader   // nil for none
	Accept []int       // statuses besides 200 that are answers, as that of an unhealthy cluster
}

// Raw sends a request and returns its answer, whose body the caller closes. A status that is not accepted is a *StatusError. Only ctx
// bounds it: the answer may be a stream.
func (c *Client) Raw(ctx context.Context, r RawRequest) (*http.Response, error) {
	req, err := c.RawRequest(ctx, r)
	if err != nil {
		return nil, err
	}
	return c.send(req, r.Accept...)
}

// RawRequest builds what Raw sends, with the client's region, namespace and token where the request has none.
func (c *Client) RawRequest(ctx context.Context, r RawRequest) (*http.Request, error) {
	if !strings.HasPrefix(r.Path, "/") {
		return nil, fmt.Errorf("build request: path %q does not begin with a slash", r.Path)
	}
	params := c.scope("", "")
	for name, values := range r.Params {
		params[name] = values
	}
	req, err := c.request(ctx, r.Method, r.Path, params, r.Body)
	if err != nil {
		return nil, err
	}
	for name, values := range r.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	return req, nil
}
