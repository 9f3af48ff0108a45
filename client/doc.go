// Package client is the node's side: it gives the machine an ID and a secret, registers it with the servers, heartbeats,
// and holds the signed identity that they answer with (wire.md §2.1, §3.6).
//
// It owns the state directory: client-id and secret-id, made on first boot and never again, and state.db with the
// identity and whether the node has registered. It owns the connections to servers, one session to one server at a
// time, by which servers reach the node too (NodeIdentity.Get and Renew).
//
// Two goroutines do everything. The first registers, heartbeats as often as the servers ask, and registers again when
// they don't know the node any more (run.go, register.go, heartbeat.go). The second keeps one Node.GetClientAllocs
// waiting at the server, as every node of the compatible protocol does; this agent runs no workloads and drops
// the answers (allocs.go).
//
// It promises:
//   - An identity is on disk before anything uses it; a crash in between costs nothing.
//   - It heals by itself. A refused identity is replaced through the secret ID, a refused secret ID through a new
//     registration, an unreachable server by the next one; no failure needs a restart.
//   - The secret ID, identities and introduction tokens are in no log line and no error.
//   - A state directory belongs to one agent. A damaged one is refused, and left as it is.
//
// It refuses to verify signatures: the identity is for others to check, and what it says about itself is read only to
// report the expiry and to refuse an identity of another node.
//
// Package agent starts it; package httpapi calls RPC on agents that are no servers.
// Previous: agent. Next: rpc/transport.
package client
