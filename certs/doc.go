// Package certs owns what protects connections: an agent's certificate, its key and the authorities that it trusts, from files to
// *tls.Config, and the names by which a certificate says what its holder is (wire.md §1.6).
//
// Keeper holds the set of files in use and makes the configuration of each kind of connection from it: RPC in and out,
// HTTPS, the public listener. New connections use the newest set; those that are open go on as long as it trusts their peers, too
// (internal/trust). A set is read and checked
// as a whole before it is used, at the start as later: it has to be one that peers accept, or it is refused with a line that names
// setting and file, and a running agent keeps the one it has.
//
// CheckPeer and CheckRole are the only places where names are compared. Whoever lets a connection do something by its
// certificate (the handshake, the endpoints, Raft's connections, a dialer) asks one of them. They look at chains that were verified
// and at nothing else: a certificate that nobody verified has no role.
//
// Authority and Issue make certificates for the tls commands and for tests.
//
// It refuses TLS below 1.2, keys of less than 112 bits of security (RSA below 2048 bits, curves below P-256) anywhere in a
// chain, session tickets, which would outlive a removed authority, and to log or return a private key.
package certs
