package httpapi

import (
	"fmt"
	"strings"

	"github.com/rollcall-id/rollcall/acl"
	"github.com/rollcall-id/rollcall/rpc"
)

// access says who may use a route. The zero value says nothing, and New refuses a route with it.
type access struct {
	// public: anyone. Nothing is told that the network does not know anyway.
	public bool
	// methods are the RPC methods that the route comes down to: who may call those, as rpc's access table has it, may use
	// the route. It is they that check the caller's token.
	methods []string
	// needs is what a token must be good for where this agent answers by itself; with methods, only where it does.
	needs acl.Capability
}

// public is for everyone.
var public = access{public: true}

// via is for whoever may call the methods.
func via(methods ...string) access { return access{methods: methods} }

// here is for what this agent answers by itself, with ACLs on to who has the capability.
func here(needs acl.Capability) access { return access{needs: needs} }

// orHere adds that the agent may answer by itself.
func (a access) orHere(needs acl.Capability) access {
	a.needs = needs
	return a
}

// check returns an error for a route that does not say who may use it.
func (r *route) check() error {
	a := r.access
	switch {
	case !a.public && len(a.methods) == 0 && a.needs == "":
		return fmt.Errorf("route %s %s does not say who may use it; add that to its line in httpapi/routes.go", r.methods, r.pattern)
	case a.public && (len(a.methods) > 0 || a.needs != ""):
		return fmt.Errorf("route %s %s is public and asks for something", r.methods, r.pattern)
	}
	for _, m := range a.methods {
		if _, ok := rpc.AccessOf(m); !ok {
			return fmt.Errorf("route %s %s comes down to %s, which has no row in rpc's access table", r.methods, r.pattern, m)
		}
	}
	return nil
}

// RouteAccess is one route with who may use it, for the documents.
type RouteAccess struct {
	Method, Pattern string
	Public          bool
	Methods         []string       // RPC methods that it comes down to
	Needs           acl.Capability // where the agent answers by itself
}

// Routes returns every route, in the order of the table. A route that takes POST as well as PUT is listed as PUT.
func Routes() []RouteAccess {
	out := make([]RouteAccess, 0, len(routeTable))
	for _, r := range routeTable {
		out = append(out, RouteAccess{
			Method: r.methods[0], Pattern: r.pattern, Public: r.access.public, Methods: r.access.methods, Needs: r.access.needs,
		})
	}
	return out
}

func (m methods) String() string { return strings.Join(m, "/") }
