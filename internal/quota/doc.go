// Package quota bounds what the peers of one source address may take of a server together: connections, streams,
// requests, bytes that wait to be whole. So an address that misbehaves runs into its own bound, and the others have the
// rest of the server.
//
// A Book has a page for every address that has a connection open; a connection's Share is written on it. Nothing waits
// here: what is over a bound is refused at once, and whoever was refused decides what to answer.
package quota
