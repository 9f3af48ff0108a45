// Package transitserver is a stand-in for the transit engine of Vault or OpenBao, for tests: it speaks the part of their HTTP
// API that wrapping root keys needs, as their public API documentation describes it, and can be sealed, slow or rotated.
//
// What it has: encrypt, decrypt and rewrap with versioned AES-256-GCM keys, rotation, the least version that decrypts, tokens
// that expire and are renewed, namespaces, the error bodies and status codes that clients see.
package transitserver
