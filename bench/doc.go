// Command bench measures what a three-server cluster of this build does on this machine, over its real RPC port
// and with every write on disk, and beside it what the machine itself can do: how many times a second its disk
// takes an fsync, a bare call of the same shape goes back and forth, and a signature is made. A figure means
// something only next to those, taken in the same run.
//
//	go run ./bench -nodes 1000,50000
//
// The servers are processes of their own, the load comes from this one, and all share the machine. Each phase
// prints its rate and its latencies: register (each with an identity), ready (the first status update, which
// changes state), heartbeat (steady, changes nothing) and renew (forced, signs an identity).
package main
