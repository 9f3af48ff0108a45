package httpapi

import (
	"context"
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-id/rollcall/acl"
	"github.com/rollcall-id/rollcall/structs"
)

// ACLConfig says whether the agent asks for tokens where it answers by itself, and how long it relies on what it knows of
// tokens, policies and roles. 0 asks the servers each time.
type ACLConfig struct {
	Enabled                      bool
	TokenTTL, PolicyTTL, RoleTTL time.Duration
}

// checked is the route's handler behind the check of what the agent answers by itself. A route that comes down to RPC
// methods is checked by those; where it can do without, mayHere checks it: in nodeAsked, agentAsked and followLog.
func (r route) checked() handler {
	if len(r.access.methods) > 0 || r.access.public {
		return func(c *call) (any, error) {
			c.access = r.access
			return r.handle(c)
		}
	}
	return func(c *call) (any, error) {
		c.access = r.access
		if err := c.mayHere(); err != nil {
			return nil, err
		}
		return r.handle(c)
	}
}

// mayHere refuses a caller whose token is not good for what the route needs.
func (c *call) mayHere() error {
	if !c.cfg.ACL.Enabled {
		return nil
	}
	may, err := c.acls.resolve(c.ctx, c.token())
	if err != nil {
		return err
	}
	if !may.Allows(c.access.needs) {
		return structs.ErrPermissionDenied
	}
	return nil
}

// resolver finds out what a token may, by asking the servers as every agent of this protocol does. It is safe for
// concurrent use.
type resolver struct {
	rpc    RPC
	region string
	now    func() time.Time

	tokens   remembered[[sha256.Size]byte, *structs.ACLToken]
	policies remembered[string, *structs.ACLPolicy]
	roles    remembered[string, *structs.ACLRole]
	compiled acl.Cache
}

func newResolver(cfg ACLConfig, rpc RPC, region string, now func() time.Time) *resolver {
	r := &resolver{rpc: rpc, region: region, now: now}
	r.tokens.ttl, r.policies.ttl, r.roles.ttl = cfg.TokenTTL, cfg.PolicyTTL, cfg.RoleTTL
	return r
}

func (r *resolver) query(secret string) structs.QueryOptions {
	return structs.QueryOptions{Region: r.region, AllowStale: true, AuthToken: secret}
}

// resolve returns what the caller may. Whoever can't be asked about is refused.
func (r *resolver) resolve(ctx context.Context, secret string) (*acl.ACL, error) {
	key := sha256.Sum256([]byte(secret))
	now := r.now()
	token, ok := r.tokens.get(key, now)
	if !ok {
		var who structs.ACLWhoAmIResponse
		if err := r.rpc.RPC(ctx, "ACL.WhoAmI", &structs.GenericRequest{QueryOptions: r.query(secret)}, &who); err != nil {
			return nil, err
		}
		if who.Identity == nil || who.Identity.ACLToken == nil {
			return acl.Nothing, nil // a node's credential
		}
		token = who.Identity.ACLToken
		r.tokens.put(key, token, now)
	}
	switch {
	case token.Expired(now):
		return nil, structs.ErrPermissionDenied
	case token.IsManagement():
		return acl.Everything, nil
	}
	names, err := r.policyNames(ctx, secret, token)
	if err != nil {
		return nil, err
	}
	sources, err := r.sources(ctx, secret, names)
	if err != nil {
		return nil, err
	}
	may, err := r.compiled.Compile(sources)
	if err != nil {
		return nil, structs.ErrPermissionDenied // a policy that can't be read may be there to refuse
	}
	return may, nil
}

// policyNames are the policies that the token has by itself and by its roles.
func (r *resolver) policyNames(ctx context.Context, secret string, token *structs.ACLToken) ([]string, error) {
	names := slices.Clone(token.Policies)
	var ask []string
	now := r.now()
	add := func(role *structs.ACLRole) {
		for _, p := range role.Policies {
			if p != nil {
				names = append(names, p.Name)
			}
		}
	}
	for _, link := range token.Roles {
		if role, ok := r.roles.get(link.ID, now); ok {
			add(role)
		} else {
			ask = append(ask, link.ID)
		}
	}
	if len(ask) > 0 {
		var out structs.ACLRolesByIDResponse
		if err := r.rpc.RPC(ctx, "ACL.GetRolesByID", &structs.ACLRolesByIDRequest{ACLRoleIDs: ask, QueryOptions: r.query(secret)}, &out); err != nil {
			return nil, err
		}
		for id, role := range out.ACLRoles {
			r.roles.put(id, role, now)
			add(role)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// sources are the policies of those names. What is not there gives nothing.
func (r *resolver) sources(ctx context.Context, secret string, names []string) ([]acl.Source, error) {
	var sources []acl.Source
	var ask []string
	now := r.now()
	for _, name := range names {
		if p, ok := r.policies.get(name, now); ok {
			sources = append(sources, acl.Source{Name: name, Rules: p.Rules})
		} else {
			ask = append(ask, name)
		}
	}
	if len(ask) == 0 {
		return sources, nil
	}
	var out structs.ACLPolicySetResponse
	if err := r.rpc.RPC(ctx, "ACL.GetPolicies", &structs.ACLPolicySetRequest{Names: ask, QueryOptions: r.query(secret)}, &out); err != nil {
		return nil, err
	}
	for name, p := range out.Policies {
		r.policies.put(name, p, now)
		sources = append(sources, acl.Source{Name: name, Rules: p.Rules})
	}
	return sources, nil
}

// maxRemembered bounds what a resolver keeps of one kind; what is forgotten is asked for again.
const maxRemembered = 1024

// remembered keeps values for a time.
type remembered[K comparable, V any] struct {
	ttl time.Duration

	mu     sync.Mutex // guards values
	values map[K]dated[V]
}

type dated[V any] struct {
	value V
	until time.Time
}

func (m *remembered[K, V]) get(key K, now time.Time) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.values[key]
	return d.value, ok && now.Before(d.until)
}

func (m *remembered[K, V]) put(key K, value V, now time.Time) {
	if m.ttl <= 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.values == nil || len(m.values) >= maxRemembered {
		m.values = make(map[K]dated[V])
	}
	m.values[key] = dated[V]{value, now.Add(m.ttl)}
}
