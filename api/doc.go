// Package api is the Go client of the HTTP API, for the commands and for programs that want the parts which the public
// SDK of the compatible API does not cover.
//
// It owns how a server is found (an http, https or unix address, TLS files, the ROLLCALL_* and NOMAD_* environment), how
// options become parameters, and how answers become values of package structs. Methods are grouped in one file a resource.
//
// It promises that every call ends with its context or, without a deadline there, a while after the longest time the
// server may wait; that it never follows a redirect, which could carry the token to another host; and that a refusal is a
// *StatusError on which errors.Is finds the sentinels of structs. It keeps connections open between calls; a Client may be
// used from several goroutines.
//
// It refuses retries and caching: callers decide what is safe to repeat.
package api
