package archtest

import (
	"fmt"
	"go/ast"
	"go/types"
	"strconv"
	"strings"
)

// deterministic are the packages whose results must be the same on every
// server and at every replay.
var deterministic = []string{"structs/...", "state/...", "fsm/..."}

// bannedImports are packages of which nothing but constants may be used there;
// a path ending in "/..." covers what is below it too.
var bannedImports = []struct{ path, why string }{
	{"os/...", "reads the environment and files"},
	{"io/ioutil", "reads files"},
	{"syscall", "reads the machine"},
	{"golang.org/x/sys/...", "reads the machine"},
	{"crypto/rand", "is random"},
	{"math/rand/...", "is random"},
	{"hash/maphash", "is seeded anew in every process"},
	{"github.com/hashicorp/go-uuid", "is random"},
	{"log", "writes a clock reading to a global; take an injected hclog.Logger"},
	{"net/http/...", "does I/O"},
	{"net/rpc/...", "does I/O"},
}

// bannedNames are single functions, methods and variables of packages that are
// otherwise fine. Methods are written Type.Method.
var bannedNames = map[string]map[string]string{
	"time": names("reads the clock: the endpoint on the leader decides time and the command carries it",
		"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep").
		and("depends on the machine's time zone: use UTC",
			"Local", "LoadLocation", "Time.Local"),
	"context": names("reads the clock", "WithTimeout", "WithTimeoutCause", "WithDeadline", "WithDeadlineCause"),
}

// pureNet is what may be used of package net: parsing and printing, no I/O.
var pureNet = names("", "IP", "IPNet", "IPMask", "IPv4", "IPv4Mask", "CIDRMask", "IPv4len", "IPv6len", "HardwareAddr",
	"ParseIP", "ParseCIDR", "ParseMAC", "ParseError", "SplitHostPort", "JoinHostPort", "AddrError", "TCPAddr", "UDPAddr", "Addr")

type nameSet map[string]string

func names(why string, list ...string) nameSet { return nameSet{}.and(why, list...) }

func (s nameSet) and(why string, list ...string) nameSet {
	for _, n := range list {
		s[n] = why
	}
	return s
}

// mustBeDeterministic picks the packages the rule holds for: those named in
// deterministic and every helper of ours that they import, however far down.
func mustBeDeterministic(pkgs []goPackage) []goPackage {
	byRel := map[string]goPackage{}
	var queue []string
	for _, p := range pkgs {
		rel, _ := relative(p.ImportPath)
		byRel[rel] = p
		for _, d := range deterministic {
			if covers(d, rel) {
				queue = append(queue, rel)
			}
		}
	}
	var picked []goPackage
	seen := map[string]bool{}
	for len(queue) > 0 {
		rel := queue[0]
		queue = queue[1:]
		if seen[rel] {
			continue
		}
		seen[rel] = true
		picked = append(picked, byRel[rel])
		for _, path := range byRel[rel].Imports {
			if imported, ours := relative(path); ours && covers(helpers, imported) {
				queue = append(queue, imported)
			}
		}
	}
	return picked
}

// checkDeterminism reports every use of a banned package or name.
func checkDeterminism(s source) []string {
	var problems []string
	for _, f := range s.files {
		for _, spec := range f.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			for _, b := range bannedImports {
				if covers(b.path, path) && !s.onlyConstants(f, path) {
					problems = append(problems, fmt.Sprintf("%s: imports %s, which %s", s.at(spec), path, b.why))
				}
			}
		}
		utc := zoneFixed(f)
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Ident:
				if why := s.bannedName(n); why != "" {
					problems = append(problems, fmt.Sprintf("%s: %s %s", s.at(n), n.Name, why))
				}
			case *ast.CallExpr:
				if s.isCall(n, "time", "Unix", "UnixMilli", "UnixMicro") && !utc[n] {
					problems = append(problems, fmt.Sprintf("%s: a time in the machine's zone; call .UTC() on it at once", s.at(n)))
				}
			}
			return true
		})
	}
	return problems
}

// onlyConstants tells whether f uses the package at path, and constants of it
// alone (HTTP status numbers, say).
func (s source) onlyConstants(f *ast.File, path string) bool {
	used, constant := false, true
	ast.Inspect(f, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		if !ok {
			return true
		}
		if obj := s.info.Uses[id]; obj != nil && obj.Pkg() != nil && obj.Pkg().Path() == path {
			_, isConst := obj.(*types.Const)
			used, constant = true, constant && isConst
		}
		return true
	})
	return used && constant
}

// bannedName says what is wrong with the object that id refers to, or "".
func (s source) bannedName(id *ast.Ident) string {
	obj := s.info.Uses[id]
	if obj == nil || obj.Pkg() == nil {
		return ""
	}
	name := obj.Name()
	if fn, ok := obj.(*types.Func); ok {
		if r := fn.Signature().Recv(); r != nil {
			recv := strings.TrimPrefix(types.TypeString(r.Type(), func(*types.Package) string { return "" }), "*")
			name = recv + "." + name
		}
	}
	if obj.Pkg().Path() == "net" && obj.Parent() == obj.Pkg().Scope() {
		if _, pure := pureNet[name]; !pure {
			return "of package net may do I/O"
		}
		return ""
	}
	return bannedNames[obj.Pkg().Path()][name]
}

// isCall tells whether call calls one of the named functions of package pkg.
func (s source) isCall(call *ast.CallExpr, pkg string, funcs ...string) bool {
	var id *ast.Ident
	switch f := ast.Unparen(call.Fun).(type) {
	case *ast.SelectorExpr:
		id = f.Sel
	case *ast.Ident:
		id = f
	case *ast.IndexExpr: // a generic function with its type given
		return s.isCall(&ast.CallExpr{Fun: f.X}, pkg, funcs...)
	default:
		return false
	}
	fn, ok := s.info.Uses[id].(*types.Func)
	if !ok || fn.Pkg() == nil || fn.Pkg().Path() != pkg || fn.Signature().Recv() != nil {
		return false
	}
	for _, name := range funcs {
		if fn.Name() == name {
			return true
		}
	}
	return false
}

// zoneFixed finds the expressions on which .UTC() is called directly.
func zoneFixed(f *ast.File) map[ast.Expr]bool {
	fixed := map[ast.Expr]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && (sel.Sel.Name == "UTC" || isUnixReading(sel.Sel.Name)) {
			fixed[ast.Unparen(sel.X)] = true
		}
		return true
	})
	return fixed
}

// isUnixReading names the methods of time.Time whose result has no zone in it.
func isUnixReading(method string) bool {
	switch method {
	case "Unix", "UnixNano", "UnixMilli", "UnixMicro", "Sub", "Before", "After", "Equal", "Compare":
		return true
	}
	return false
}
