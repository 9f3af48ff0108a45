// Package wire is a second client of the RPC port, which the scenarios play against real servers: it shares no code with the
// product, so that a mistake made once isn't made on both sides.
//
// It owns its own msgpack (docs/wire.md §1.4), its own framing of calls (§1.3) and its own first bytes (§1.1, §1.2). What it
// sends are maps written out as a client agent of some version writes them; what it reads are maps.
//
// It promises to write exactly the forms that those agents write, and to refuse what they could not read. It is used by
// tests alone, and imports nothing of the product.
package wire
