// Package state is the replicated data: nodes, node pools, root keys, the cluster's own records, and what was
// imported and is only kept. It is a set of go-memdb tables with one file a resource.
//
// It owns the effect of every command of the Raft log on the data (wire.md §6.4) and the rules that only hold
// across records: there is never more than one active root key, a key in use is not deleted, a pool with nodes is
// not deleted, a pool always has an identity TTL, a node names only signing keys that exist.
//
// It promises:
//   - the same commands in the same order give the same data and the same Digest on every server;
//   - each command is checked before it writes: one that returns an error has changed nothing, also within a
//     transaction that it shares with others;
//   - the digest follows every commit at next to no cost to it: a transaction adds up hashes of what it changes,
//     and nodes, the big records, are hashed by a goroutine of the store that ends by itself (digest.go has the
//     sum, digest_node.go and digest_hash.go what goes into it);
//   - reads see one committed state, never wait for the writer, and add to their watch set what has to change
//     before their result can;
//   - a command that leaves an index entry as it was does not pay for it: a node's secret, signing key and pool
//     are indexed by tables of their own, which a status update does not touch.
//
// It refuses clocks, randomness, I/O and map order: times and identifiers come inside the commands. It does not
// authenticate, decide or log.
//
// Package fsm writes, one transaction for each batch of log entries; endpoints, leader duties and the HTTP API
// read. Values that reads return are shared and must not be changed.
package state
