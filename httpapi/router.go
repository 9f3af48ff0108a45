package httpapi

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// methods is the set of HTTP methods that reach a handler.
type methods []string

// HEAD is answered wherever GET is, without the body.
var (
	get     = methods{http.MethodGet, http.MethodHead}
	put     = methods{http.MethodPut, http.MethodPost}
	putOnly = methods{http.MethodPut}
	del     = methods{http.MethodDelete}
)

// handler answers one call. The value it returns is written as JSON, nil as an empty body; *reply and http.Handler are
// answers of their own.
type handler func(*call) (any, error)

// route is one line of the table: a segment in braces stands for any one segment that is not empty.
type route struct {
	methods methods
	pattern string
	handle  handler
	access  access
}

// node is one segment of the route tree. A literal segment wins over a parameter, so the pool named "drain" is found
// under /v1/node/pool/drain.
type node struct {
	literal map[string]*node
	param   *node
	name    string // of the parameter that led here
	handle  map[string]handler
	allow   []string
}

// buildRoutes panics on a route given twice or parameters that differ in name: mistakes in the table.
func buildRoutes(table []route) *node {
	root := &node{}
	for _, r := range table {
		n := root
		for _, seg := range strings.Split(r.pattern[1:], "/") {
			n = n.child(r.pattern, seg)
		}
		if n.handle == nil {
			n.handle = map[string]handler{}
		}
		for _, m := range r.methods {
			if n.handle[m] != nil {
				panic(fmt.Sprintf("route %s %s is in the table twice", m, r.pattern))
			}
			n.handle[m] = r.checked()
			n.allow = append(n.allow, m)
		}
	}
	return root
}

func (n *node) child(pattern, seg string) *node {
	if strings.HasPrefix(seg, "{") {
		name := strings.Trim(seg, "{}")
		if n.param == nil {
			n.param = &node{name: name}
		}
		if n.param.name != name {
			panic(fmt.Sprintf("route %s: another route calls {%s} {%s}", pattern, name, n.param.name))
		}
		return n.param
	}
	if n.literal[seg] == nil {
		if n.literal == nil {
			n.literal = map[string]*node{}
		}
		n.literal[seg] = &node{}
	}
	return n.literal[seg]
}

// match finds the handlers for an escaped path; nil if there are none. Escapes are undone segment by segment, so that a
// name may contain a slash. params is written only for a match.
func (n *node) match(path string, params map[string]string) *node {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return nil
	}
	return n.walk(rest, params)
}

func (n *node) walk(rest string, params map[string]string) *node {
	seg, tail, more := strings.Cut(rest, "/")
	value, err := url.PathUnescape(seg)
	if err != nil || value == "" {
		return nil
	}
	end := func(next *node) *node {
		if next == nil {
			return nil
		}
		if more {
			return next.walk(tail, params)
		}
		if next.handle == nil {
			return nil
		}
		return next
	}
	if found := end(n.literal[value]); found != nil {
		return found
	}
	found := end(n.param)
	if found != nil {
		params[n.param.name] = value
	}
	return found
}
