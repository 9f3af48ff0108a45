// Package httpapi is the public HTTP API: it turns requests under /v1 and /.well-known into calls of the RPC methods and
// their replies into JSON, with the conventions that existing clients of the wire-compatible API count on (wire.md §5).
//
// It owns the route table (routes.go), how options, tokens and bodies are read (options.go, decode.go), how replies and
// errors are written (encode.go), and the limits of the listeners: header and body size, nesting, connections of one
// client, how long a slow peer may take. Everything about one resource is in the file of its name.
//
// It promises that every list is an array, never null; that an error is one line of plain text whose status follows
// structs.HTTPStatus; that no node's secret and no token is ever written; that a request which can't be understood changes
// nothing and is answered with 400; and that writes started by a web page of another origin are refused.
//
// It refuses decisions: filters, pages, permissions and consistency belong to the RPC endpoints, which are reached through
// the RPC interface whether they run in this process or on a server elsewhere. It knows neither Raft nor state.
//
// The agent builds an HTTPServer with New, runs Serve and ends it with Shutdown, which answers blocking queries at once
// and lets writes finish. All methods may be called from several goroutines.
package httpapi
