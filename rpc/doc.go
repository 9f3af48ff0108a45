// Package rpc is where bytes become decisions: the endpoints of the RPC port, and the one pipeline that every
// call goes through, whoever made it and however it came:
//
//	authenticate → forward → authorize → limit → act
//
// Authentication says who calls (authenticate.go). Since no step before authorization acts on its result, it is
// computed only where the call is answered: a server that passes a call on does not verify what the leader
// verifies again. Forwarding brings the call to the
// server that may answer it (forward.go). Authorization decides whether this caller may do this (authorize.go),
// by one table (access_table.go); a method without a row in it stops the server from starting. The limit keeps an overload from taking the server down
// (limit.go). Only then does the endpoint act, on state that the pipeline has made sure of.
//
// The methods stand in one table (methods.go), one file a resource. Endpoints decide everything that has to be
// decided, times, identifiers and signatures included, before a command is proposed: what goes through Raft is
// the result, without secrets and without the caller's token.
//
// The package owns no state and no connection. What it needs of the rest is declared here as small interfaces
// (deps.go): a state reader, an applier, the leader's lease, the keyring, heartbeat timers, membership. The
// transport below it is rpc/transport.
//
// It refuses to act on a node for anyone but that node where a request is made in a node's name, to mint
// anything without an expiry, and to mint on a server that is not the verified leader.
//
// Previous on a renewal's way: client. Next: keyring, and server for what changes state.
package rpc
