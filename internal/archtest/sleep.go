package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// checkSleep reports waits for time to pass in a test file: time.Sleep and a
// bare receive from time.After. Inside a testing/synctest bubble the clock is
// fake and costs nothing, so they are fine in a function literal given to
// synctest.Test, and in a function that calls synctest.Wait itself, which can
// run nowhere else.
func checkSleep(fset *token.FileSet, f *ast.File) []string {
	timeName, bubbleName := importName(f, "time"), importName(f, "testing/synctest")
	if timeName == "" {
		return nil
	}
	calls := func(n ast.Node, pkg string, funcs ...string) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return false
		}
		if pkg == "." { // a dot import: the name stands alone
			id, ok := call.Fun.(*ast.Ident)
			return ok && slices.Contains(funcs, id.Name)
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || !slices.Contains(funcs, sel.Sel.Name) {
			return false
		}
		id, ok := sel.X.(*ast.Ident)
		return ok && pkg != "" && id.Name == pkg
	}

	var problems []string
	raced := map[ast.Stmt]bool{} // a time limit beside another case of a select
	var walk func(n ast.Node, fake bool)
	walk = func(root ast.Node, fake bool) {
		ast.Inspect(root, func(n ast.Node) bool {
			if n == root {
				return true
			}
			switch n := n.(type) {
			case *ast.FuncDecl:
				walk(n, callsDirectly(n.Body, func(c ast.Node) bool { return calls(c, bubbleName, "Wait") }))
				return false
			case *ast.FuncLit:
				walk(n, fake || callsDirectly(n.Body, func(c ast.Node) bool { return calls(c, bubbleName, "Wait") }))
				return false
			case *ast.CallExpr:
				if calls(n, bubbleName, "Test") {
					walk(n, true)
					return false
				}
				if !fake && calls(n, timeName, "Sleep") {
					problems = append(problems, fmt.Sprintf("%s: time.Sleep in a test; use testing/synctest, or poll for the condition with a deadline", fset.Position(n.Pos())))
				}
			case *ast.SelectStmt:
				for _, clause := range n.Body.List {
					raced[clause.(*ast.CommClause).Comm] = len(n.Body.List) > 1
				}
			case *ast.ExprStmt:
				if u, ok := n.X.(*ast.UnaryExpr); ok && !raced[n] && u.Op == token.ARROW && !fake && calls(u.X, timeName, "After") {
					problems = append(problems, fmt.Sprintf("%s: waiting for time.After in a test is a sleep; use testing/synctest, or poll for the condition with a deadline", fset.Position(n.Pos())))
				}
			}
			return true
		})
	}
	walk(f, false)
	return problems
}

// callsDirectly tells whether body holds a matching call outside of the
// function literals in it.
func callsDirectly(body *ast.BlockStmt, match func(ast.Node) bool) bool {
	found := false
	if body == nil {
		return false
	}
	ast.Inspect(body, func(n ast.Node) bool {
		if _, lit := n.(*ast.FuncLit); lit {
			return false
		}
		found = found || match(n)
		return true
	})
	return found
}

// importName is the name that f uses for the package at path, "." for a dot
// import, or "" when f does not import it.
func importName(f *ast.File, path string) string {
	for _, spec := range f.Imports {
		if p, _ := strconv.Unquote(spec.Path.Value); p != path {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path[strings.LastIndexByte(path, '/')+1:]
	}
	return ""
}
