// Package config is the configuration of `rollcall agent`: it reads HCL and JSON files, merges them over the defaults,
// finds every mistake in the result and turns addresses into the concrete ones to bind and to publish.
//
// It owns the names and shapes of all settings. They follow the field (server {}, client {}, ports {}, keyring "aead" {}
// and so on), so that an existing agent file loads: blocks that only a workload scheduler needs are accepted with a warning
// that names them, anything unknown is an error with file and line. Values are literals; there are no expressions,
// variables or functions. Strings that name an address may hold a go-sockaddr template such as {{ GetInterfaceIP "eth0" }}.
//
// Merging: files apply in the order given, the files of a directory (*.hcl and *.json, not recursive) in lexical order.
// A later scalar replaces an earlier one, false and 0 included; lists are appended without repeats; maps are merged by
// key; keyring blocks are merged by provider and name.
//
// Use: DefaultConfig or DevConfig, then Load, then Override for command-line flags, then Validate (all problems at once),
// then Normalize (host name, directories, addresses). Reloadable compares two of them at SIGHUP, Redacted is what the HTTP
// API shows.
//
// It promises bounded memory and time for any input (file size, file count, nesting) and never puts a secret or the value
// of a setting that may hold one into an error or a warning. It refuses what it can't protect: TLS or ACLs switched on
// while this version lacks them are an error, never a silent downgrade.
//
// It opens nothing but configuration files and, when asked, a key-encryption-key file; it starts no goroutines. A Config
// is plain data: safe to read from many goroutines, not to change while others read. cmd/rollcall calls it; server, client
// and httpapi are given the results.
package config
