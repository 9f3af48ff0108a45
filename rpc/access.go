package rpc

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rollcall-id/rollcall/acl"
	"github.com/rollcall-id/rollcall/structs"
)

// By is the kind of caller that a method is for.
type By int

const (
	// ByAnyone: the method is public. The credential is not looked at, good or bad.
	ByAnyone By = iota + 1
	// ByNode: a node, on itself and no other, whether ACLs are on or off.
	ByNode
	// ByRegistrant: a node that registers: with its own credential, even an expired one, an introduction or none.
	ByRegistrant
	// ByServer: servers, known by the role in their certificate where TLS enforces it.
	ByServer
	// ByOperator: who has a token that is good for all of Access.Needs. With ACLs off, who shows no credential.
	ByOperator
	// ByToken: who has an ACL token. What is not the token's own is only for management tokens.
	ByToken
	// ByCaller: who shows an ACL token, a node's credential or none, on what that credential is.
	ByCaller
)

// Access is what a method demands of its caller. The zero value demands nothing that anyone could meet: no method can
// be registered with it.
type Access struct {
	By By
	// Needs are the capabilities that an operator must have, all of them, with ACLs on.
	Needs []acl.Capability
	// Filtered: the request names no pool. One pool that Needs is good for is enough, and the answer has only such.
	Filtered bool
	// Topics: what an operator must have depends on the topics that the request names (EventTopics).
	Topics bool
	// Self: a node may, too, on itself.
	Self bool
	// NodesRead: with ACLs off any node may, too.
	NodesRead bool
	// OnlyACLs: the method is refused with ACLs off, as there is nothing that it could be about.
	OnlyACLs bool
	// Mint is for a method of nodes that may mint an identity, see AuthMint.
	Mint bool
}

// auth is the way in which the method's callers are authenticated.
func (a Access) auth() Auth {
	switch {
	case a.By == ByAnyone:
		return AuthPublic
	case a.By == ByServer:
		return AuthServer
	case a.By == ByRegistrant, a.Mint:
		return AuthMint
	case a.By == ByNode:
		return AuthNode
	}
	return AuthAny
}

// needsNode reports whether the decision needs the nodes that a request names, needsPool the same of pools.
func (a Access) needsNode() bool { return a.By == ByNode || a.By == ByRegistrant || a.Self }

func (a Access) needsPool() bool {
	return !a.Filtered && slices.ContainsFunc(a.Needs, acl.Capability.OfPool)
}

// problem says what is wrong with a row of the table, "" if nothing is. req is a request of the method's type.
func (a Access) problem(req any) string {
	_, nodes := req.(structs.NodeScoped)
	_, pools := req.(structs.PoolScoped)
	_, topics := req.(structs.TopicScoped)
	switch {
	case a.By < ByAnyone || a.By > ByCaller:
		return "does not say who may call it"
	case (a.By == ByOperator) != (len(a.Needs) > 0 || a.Topics):
		return "must say what an operator needs, and nobody else"
	case a.needsNode() && !nodes:
		return fmt.Sprintf("is about nodes, and a %T does not tell which", req)
	case a.Topics && !topics:
		return fmt.Sprintf("is about topics, and a %T does not tell which", req)
	case a.needsPool() && !pools:
		return fmt.Sprintf("is about node pools, and a %T does not tell which", req)
	}
	return ""
}

// WithACLs says in words who may call the method when ACLs are on, WithoutACLs the same when they are off.
func (a Access) WithACLs() string {
	switch a.By {
	case ByAnyone:
		return "anyone"
	case ByServer:
		return "servers"
	case ByNode:
		return "the node itself"
	case ByRegistrant:
		return "a node that registers"
	case ByToken:
		return "who has an ACL token, on what is its own; `management` on all"
	case ByCaller:
		return "whoever calls, on the credential shown"
	}
	if a.Topics {
		return "by its topics"
	}
	words := make([]string, len(a.Needs))
	for i, n := range a.Needs {
		words[i] = "`" + string(n) + "`"
	}
	text := strings.Join(words, " and ")
	switch {
	case a.Filtered:
		text += " of any pool; shows those pools"
	case a.needsPool():
		text += " of each pool named"
	}
	if a.Self {
		text += "; or the node itself"
	}
	return text
}

// WithoutACLs is WithACLs for a cluster without.
func (a Access) WithoutACLs() string {
	switch {
	case a.OnlyACLs:
		return "nobody"
	case a.By != ByOperator:
		return a.WithACLs()
	case a.NodesRead:
		return "who shows no credential; nodes"
	case a.Self:
		return "who shows no credential; the node itself"
	}
	return "who shows no credential"
}

// accessOf returns the method's row. A method without one must not be served: that is a mistake in this package, and
// the server does not start.
func accessOf(name string, req any) Access {
	a, ok := accessTable[name]
	if !ok {
		panic("rpc: method " + name + " has no row in the access table (rpc/access_table.go), which says who may call it")
	}
	if p := a.problem(req); p != "" {
		panic("rpc: the row of " + name + " in the access table " + p)
	}
	return a
}

// checkAccessTable panics on a row whose method does not exist.
func (s *Server) checkAccessTable() {
	for _, name := range slices.Sorted(maps.Keys(accessTable)) {
		if s.methods[name] == nil && s.streams[name] == nil {
			panic("rpc: the access table (rpc/access_table.go) has a row for " + name + ", which is no method")
		}
	}
}

// AccessOf returns who may call the method.
func AccessOf(name string) (Access, bool) {
	a, ok := accessTable[name]
	return a, ok
}
