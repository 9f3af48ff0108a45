// Package structs holds the plain data that every other package speaks: nodes, node pools, root keys,
// identity claims, cluster records, the requests and replies of the RPC methods, and the numbered message
// and record types of the Raft log and of snapshots.
//
// It owns the wire form of all of them. A struct here is written as a msgpack map keyed by the Go field
// names (see codec.go), so renaming or retyping an exported field is a change of the protocol and of the
// files on disk; adding one is compatible, since readers skip keys they do not know.
//
// It promises that Validate reports everything that is wrong with a value, that Copy shares no memory with
// its original, and that canonicalising a value is deterministic: nothing in this package reads a clock,
// randomness, the environment or a file. Times, identifiers and signatures are decided by the endpoint that
// proposes a command and travel inside it.
//
// It refuses behaviour: no I/O, no logging, no goroutines. It imports no other package of this module.
package structs
