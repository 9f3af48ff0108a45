// Package transport carries RPC between agents: it owns the TCP connections of the RPC port and everything on
// them up to the bytes of a request's body (wire.md §1.1 to §1.5 and §1.10).
//
// Every connection starts with one byte that says what it is: a conversation, Raft, a yamux session, TLS (then
// a byte again), a streaming call. Server reads it, enforces the handshake deadline and the limit of connections for each
// source address, and hands requests to a Handler, Raft's connections to a RaftLayer. Pool is the other side:
// one yamux session an address, idle streams reused, one call in flight a stream. A session works both ways:
// Conn.OpenReverse opens a stream toward the dialer, which serves it if its Pool was given a Handler.
//
// A conversation is Go net/rpc's: two msgpack values a request, two a response, no length prefix. The frame
// reader finds the end of each value as its bytes arrive and refuses what is too long, too deep or malformed, so that no
// decoder ever runs on input that is not known to be one well-formed value.
//
// It promises that a peer's malformed or slow input costs bounded memory and time and touches no other peer; that a
// handler's context ends when its caller goes away; that an error tells whether the request can have
// reached the server (TransportError) or was answered by it (RemoteError); that Close waits for every
// goroutine it started.
//
// It refuses to know methods, authentication, forwarding and TLS policy: those are the pipeline's above it, which
// supplies Handler and the TLS hooks. Package rpc builds on it, package server wires it, package client dials with it.
package transport
