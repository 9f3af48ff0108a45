// Package server wires a server together and does what only a leader does.
//
// It owns Raft with its files (raft.go, store.go), the gossip pool (gossip.go), autopilot (autopilot.go), the loop that
// starts with a won election and ends with a lost one (leader.go), the timers that notice silent nodes (heartbeat.go),
// the lease that says whether this server may still act as the leader (lease.go), the watch that keeps the keyring in
// step with the replicated keys (keys.go), the gates of what all servers must know (features.go) and the collection of
// what is no longer needed (gc.go). It gives the endpoints of package rpc what they ask for and has no endpoint of its
// own.
//
// It promises that nothing is minted or answered as the leader before everything committed in earlier terms has
// been applied, that an acknowledged command is on the disks of a majority, that a server whose disk refuses a
// write stops with a message instead of going on, and that Shutdown leaves no goroutine behind.
//
// Previous on a renewal's way: rpc. Next: fsm.
package server
