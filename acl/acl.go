package acl

import (
	"slices"
	"strings"
)

// ACL is what a caller may do.
type ACL struct {
	management bool
	granted    map[Capability]bool // of the blocks that have no name
	pools      []poolGrant         // the most specific pattern first
}

// poolGrant is what one pattern of a pool's name comes to.
type poolGrant struct {
	pattern string
	denied  bool
	granted map[Capability]bool
}

var (
	// Everything is what a management token may.
	Everything = &ACL{management: true}
	// Nothing is what nobody is refused less than.
	Nothing = &ACL{}
)

// IsManagement reports whether everything is allowed.
func (a *ACL) IsManagement() bool { return a != nil && a.management }

// Allows reports whether a capability is granted that is not about pools.
func (a *ACL) Allows(c Capability) bool {
	return a != nil && (a.management || a.granted[c])
}

// AllowsPool reports whether a capability is granted for the pool of that name.
func (a *ACL) AllowsPool(c Capability, pool string) bool {
	if a == nil || a.management {
		return a.IsManagement()
	}
	allowed, level := false, -1
	for _, g := range a.pools {
		if level >= 0 && g.specificity() != level {
			break
		}
		if !matches(g.pattern, pool) {
			continue
		}
		if g.denied {
			return false
		}
		// Of patterns that are equally specific each counts, since none is the better one.
		allowed, level = allowed || g.granted[c], g.specificity()
	}
	return allowed
}

// AllowsSomePool reports whether there may be a pool that the capability is granted for.
func (a *ACL) AllowsSomePool(c Capability) bool {
	if a == nil || a.management {
		return a.IsManagement()
	}
	return slices.ContainsFunc(a.pools, func(g poolGrant) bool { return !g.denied && g.granted[c] })
}

// What the word of a block grants. The capabilities of an operator that give out, or end, what others rely on have to
// be named, but for those of the keyring, which come with write.
var (
	nodeWords  = map[string][]Capability{"read": {NodeRead}, "write": {NodeRead, NodeWrite}}
	agentWords = map[string][]Capability{"read": {AgentRead}, "write": {AgentRead, AgentWrite}}
	poolWords  = map[string][]Capability{"read": {PoolRead}, "write": {PoolRead, PoolWrite, PoolDelete}}

	operatorWords = map[string][]Capability{
		"read": {OperatorRead}, "write": {OperatorRead, OperatorWrite, KeyringRead, KeyringRotate, KeyringDelete},
	}
)

// Compile makes one ACL of the policies that a token has. Their order does not matter.
func Compile(policies ...*Policy) *ACL {
	a := &ACL{granted: map[Capability]bool{}}
	a.plain(policies, "node", nodeWords, func(p *Policy) Rule { return p.Node })
	a.plain(policies, "agent", agentWords, func(p *Policy) Rule { return p.Agent })
	a.plain(policies, "operator", operatorWords, func(p *Policy) Rule { return p.Operator })

	byPattern := map[string]*poolGrant{}
	for _, p := range policies {
		for _, r := range p.NodePools {
			pattern := simplify(r.Pattern)
			g := byPattern[pattern]
			if g == nil {
				g = &poolGrant{pattern: pattern, granted: map[Capability]bool{}}
				byPattern[pattern] = g
			}
			g.add("node_pool", r.Rule, poolWords)
		}
	}
	for _, g := range byPattern {
		a.pools = append(a.pools, *g)
	}
	slices.SortFunc(a.pools, moreSpecific)
	return a
}

// plain adds the rules of the blocks without a name: unless one of them refuses all.
func (a *ACL) plain(policies []*Policy, block string, words map[string][]Capability, of func(*Policy) Rule) {
	sum := poolGrant{granted: map[Capability]bool{}}
	for _, p := range policies {
		sum.add(block, of(p), words)
	}
	if sum.denied {
		return
	}
	for c := range sum.granted {
		a.granted[c] = true
	}
}

func (g *poolGrant) add(block string, r Rule, words map[string][]Capability) {
	if r.Policy == denied || slices.Contains(r.Capabilities, denied) {
		g.denied = true
	}
	for _, c := range words[r.Policy] {
		g.granted[c] = true
	}
	for _, c := range r.Capabilities {
		g.granted[Capability(block+":"+c)] = true
	}
}

// moreSpecific puts the pattern first that is more specific.
func moreSpecific(x, y poolGrant) int {
	if d := y.specificity() - x.specificity(); d != 0 {
		return d
	}
	return strings.Compare(x.pattern, y.pattern)
}

// specificity is how many characters of a pattern are fixed; a name without any pattern has more than all of them.
func (g *poolGrant) specificity() int {
	stars := strings.Count(g.pattern, "*")
	if stars == 0 {
		return maxLabel + 1
	}
	return len(g.pattern) - stars
}
