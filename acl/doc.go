// Package acl is what tokens may do: capabilities, the policies that grant them, and what several policies come to
// when one token has them.
//
// It is pure: no state, no clock, no requests. Who may call which method is said in terms of its capabilities by
// rpc/access_table.go and httpapi/routes.go.
package acl
