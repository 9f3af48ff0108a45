// Package acl is what tokens may do: capabilities, the policies that grant them, and what several policies come to
// when one token has them.
//
// A policy is HCL (wire.md §5.5). Parse reads one and says what is wrong with it, by line; Compile makes an ACL of any
// number of them. In an ACL a refusal wins over any grant, and of the patterns that match a pool the most specific one
// counts. What no policy grants is refused. A Cache keeps compiled ACLs by what they were made of, so that it can't be
// stale.
//
// The package is pure: no state, no clock, no requests. Who may call which method is said in terms of its capabilities
// by rpc/access_table.go and httpapi/routes.go; docs/acl.md shows both, and how to start. An ACL never changes and may be used by any number of goroutines.
package acl
