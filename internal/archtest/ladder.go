package archtest

import (
	"fmt"
	"slices"
	"strings"
)

const module = "github.com/rollcall-id/rollcall"

// rung is one package of the ladder. Paths are relative to the module; a path
// that ends in "/..." stands for the folder and everything below it.
type rung struct {
	pkg string
	// may lists what non-test code of pkg may import of ours, besides the
	// helpers below internal/ (see helpers).
	may []string
	// blackBox rungs drive the product from outside: their tests are held to
	// the same list as their code.
	blackBox bool
}

// helpers may be imported by every rung but structs, and import none of ours.
const helpers = "internal/..."

// ladder is the architecture: a package may import what its line names, and a
// line names only packages above it. Read downwards it is the data path from
// plain data to the command.
var ladder = []rung{
	// Plain data and validation.
	{pkg: "structs"},
	// What tokens may do; knows neither tokens nor requests.
	{pkg: "acl"},

	// The replicated state and what can be computed from it.
	{pkg: "state", may: []string{"structs"}},
	{pkg: "keyring", may: []string{"structs"}},
	// A provider elsewhere; the keyring knows it by an interface.
	{pkg: "keyring/transit"},
	{pkg: "snapshot", may: []string{"structs"}},
	{pkg: "events", may: []string{"structs"}},
	// The log of this process, for those who follow it.
	{pkg: "monitor", may: []string{"structs"}},
	{pkg: "fsm", may: []string{"structs", "state", "snapshot"}},
	// Offline, on files: the state machine without a server around it.
	{pkg: "replay", may: []string{"structs", "state", "snapshot", "fsm"}},

	// Who the other side of a connection is, by its certificate.
	{pkg: "certs"},
	// The machine below, as operators ask after it.
	{pkg: "host", may: []string{"structs"}},

	// Bytes in, decisions out. rpc knows neither state nor Raft: it declares
	// the interfaces it needs and server fills them.
	{pkg: "rpc/transport", may: []string{"structs"}},
	{pkg: "rpc", may: []string{"structs", "acl", "certs", "monitor", "host", "rpc/transport"}},

	// The server knows the whole of its side and takes its own Config: neither
	// a configuration file nor HTTP nor the client is known to it.
	{pkg: "server", may: []string{"structs", "state", "keyring", "snapshot", "events", "fsm", "certs", "host", "rpc", "rpc/transport"}},

	// Both reach servers through rpc alone.
	{pkg: "client", may: []string{"structs", "monitor", "host", "rpc/transport"}},
	{pkg: "httpapi", may: []string{"structs", "acl", "monitor", "host", "rpc"}},

	{pkg: "config"},
	{pkg: "api", may: []string{"structs"}},
	// Snapshots on a schedule, each proved by restoring it as a server does.
	{pkg: "snapshotagent", may: []string{"structs", "snapshot", "fsm", "api"}},

	// One process: server, client and HTTP from one configuration.
	{pkg: "agent", may: []string{"structs", "keyring", "keyring/transit", "certs", "host", "rpc", "server", "client", "httpapi", "config"}},
	{pkg: "cmd/rollcall", may: []string{"structs", "snapshot", "fsm", "replay", "certs", "config", "api", "snapshotagent", "agent"}},

	// Programs around the product: they start the binary and speak its protocols.
	{pkg: "e2e/wire"}, // a client that shares no code with it
	{pkg: "e2e", may: []string{"structs", "snapshot", "api", "e2e/wire"}, blackBox: true},
	{pkg: "e2e/demo", may: []string{"structs", "api", "e2e"}, blackBox: true},
	{pkg: "e2e/sdk", may: []string{"e2e"}, blackBox: true},
	{pkg: "e2e/conformance", may: []string{"e2e"}, blackBox: true},
	// Hundreds of nodes in one process, which no command does.
	{pkg: "e2e/fleet", may: []string{"certs", "client", "e2e"}},
	{pkg: "scripts/screenshot"},
	{pkg: "bench", may: []string{"structs", "rpc/transport", "snapshot", "fsm", "keyring", "api", "e2e"}},

	// The documents have no code, only tests that hold them to it.
	{pkg: "docs"},
}

// covers tells whether the ladder path names rel, both relative to the module.
func covers(path, rel string) bool {
	if dir, below := strings.CutSuffix(path, "/..."); below {
		return rel == dir || strings.HasPrefix(rel, dir+"/")
	}
	return path == rel
}

// relative strips the module from an import path; ok is false when the package
// is not ours.
func relative(importPath string) (rel string, ok bool) {
	return strings.CutPrefix(importPath, module+"/")
}

// checkLadder reports every package without a rung and every forbidden import.
func checkLadder(rungs []rung, pkgs []goPackage) []string {
	var problems []string
	for _, p := range pkgs {
		rel, ours := relative(p.ImportPath)
		if !ours {
			problems = append(problems, fmt.Sprintf("%s: no code belongs in the module's root folder", p.ImportPath))
			continue
		}
		if covers(helpers, rel) {
			problems = append(problems, forbidden(rel, p.Imports, func(string) bool { return false },
				"helpers below internal/ import none of ours")...)
			continue
		}
		at := slices.IndexFunc(rungs, func(r rung) bool { return covers(r.pkg, rel) })
		if at < 0 {
			problems = append(problems, fmt.Sprintf("%s: not in the ladder; give it a line in internal/archtest/ladder.go", rel))
			continue
		}
		r := rungs[at]
		imports := p.Imports
		if r.blackBox {
			imports = slices.Concat(p.Imports, p.TestImports, p.XTestImports)
		}
		allowed := func(imported string) bool {
			if covers(helpers, imported) {
				return r.pkg != "structs"
			}
			return slices.ContainsFunc(r.may, func(m string) bool { return covers(m, imported) })
		}
		problems = append(problems, forbidden(rel, imports, allowed,
			fmt.Sprintf("the ladder lets %s import %v", r.pkg, r.may))...)
	}
	return problems
}

// forbidden lists the imports of ours that rel must not have, once each.
func forbidden(rel string, imports []string, allowed func(rel string) bool, why string) []string {
	var problems []string
	for _, path := range slices.Compact(slices.Sorted(slices.Values(imports))) {
		imported, ours := relative(path)
		if ours && imported != rel && !allowed(imported) {
			problems = append(problems, fmt.Sprintf("%s imports %s: %s", rel, imported, why))
		}
	}
	return problems
}

// checkTable reports lines that would make the table something other than a
// ladder: an import of a rung that is not above, or a package named twice.
func checkTable(rungs []rung) []string {
	var problems []string
	above := map[string]bool{}
	for _, r := range rungs {
		if above[r.pkg] {
			problems = append(problems, fmt.Sprintf("%s has two lines", r.pkg))
		}
		for _, m := range r.may {
			if m != r.pkg && !above[m] {
				problems = append(problems, fmt.Sprintf("%s may import %s, which is not above it", r.pkg, m))
			}
		}
		above[r.pkg] = true
	}
	return problems
}
