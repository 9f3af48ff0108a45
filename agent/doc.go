// Package agent is the process that `rollcall agent` runs: a server, a node's client, or both, with the HTTP API
// in front of them.
//
// It owns the order in which the parts start and stop, what signals do, the log, telemetry and the readiness
// message to systemd. It turns the configuration that a person wrote into what each part asks for (server.go,
// client.go) and decides nothing itself.
//
// It promises that what was started is stopped when Run returns, in reverse order, and that a configuration
// which can't be reloaded as a whole is not reloaded in part.
package agent
