// Package e2e starts Rollcall as it runs in earnest, as processes that talk over TCP and UDP, and holds it to what it promises.
//
// This package is the harness: it builds the binary, picks ports, writes configuration files, starts, suspends, kills and
// restarts servers and agents, keeps their logs, and looks at them from outside through their HTTP API, their RPC port, their
// files and the identities they hand out. The scenarios are tests with the build tag e2e (make e2e); the program e2e/demo shows
// a cluster at work (make demo); the program e2e/fleet is many nodes in one process.
//
// Clusters talk TLS with certificates that the program's own commands make, and have access control, whose management token all
// clients and commands here show, unless a scenario asks for a plain one. A node needs no token.
//
// It promises that no process outlives the program that started it, however that ends: Group.Close kills all, and on Linux the
// kernel does it when the starter dies first. It never waits for time to pass, only for conditions, each with a deadline, and
// what it reports when one is missed ends with the last lines of the logs.
//
// It refuses to know the inside: a black box is driven by what users have. Only e2e/fleet uses the client's package, because
// hundreds of agents would need hundreds of processes.
//
// ROLLCALL_E2E_BINARY names a binary to test instead of building one; ROLLCALL_E2E_RACE=1 builds it with the race detector;
// ROLLCALL_E2E_KEEP=1 keeps the folder of every failed test.
package e2e
