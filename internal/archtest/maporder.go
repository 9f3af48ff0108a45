package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

// mapOrderMark in a comment on the line of a loop, or in the one right above
// it, lets the loop through. What follows it must say why the order does not show.
const mapOrderMark = "map order:"

// checkMapOrder reports loops over maps, and uses of the iterators of package
// maps, from which Go's random order could reach a result. It lets through
// what is evidently independent of order (see orderFree), iterators that are
// sorted on the spot, and what a comment vouches for.
func checkMapOrder(s source) []string {
	var problems []string
	for _, f := range s.files {
		vouched := vouchedLines(s.fset, f)
		report := func(n ast.Node, what string) {
			if line := s.fset.Position(n.Pos()).Line; !vouched[line] {
				problems = append(problems, fmt.Sprintf("%s: %s; sort first, or say why it can't with a comment %q",
					s.at(n), what, "// "+mapOrderMark+" ..."))
			}
		}
		sortedOnTheSpot := map[ast.Expr]bool{}
		for _, decl := range f.Decls {
			ast.Inspect(decl, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CallExpr:
					switch {
					case s.isCall(n, "slices", "Sorted", "SortedFunc"), s.isCall(n, "maps", "Collect", "Insert"):
						for _, arg := range n.Args {
							sortedOnTheSpot[ast.Unparen(arg)] = true
						}
					case s.isCall(n, "maps", "Keys", "Values", "All") && !sortedOnTheSpot[n]:
						report(n, "the iterator's order differs from run to run")
					}
				case *ast.RangeStmt:
					if s.isMap(n.X) && !s.orderFreeLoop(n, decl) {
						report(n, "the loop's order differs from run to run")
					}
				}
				return true
			})
		}
	}
	return problems
}

// vouchedLines are the lines that a comment with the mark and a reason covers:
// its own, and the one after the comment's end.
func vouchedLines(fset *token.FileSet, f *ast.File) map[int]bool {
	lines := map[int]bool{}
	for _, group := range f.Comments {
		_, reason, marked := strings.Cut(group.Text(), mapOrderMark)
		if marked && strings.TrimSpace(reason) != "" {
			lines[fset.Position(group.Pos()).Line] = true
			lines[fset.Position(group.End()).Line+1] = true
		}
	}
	return lines
}

func (s source) isMap(e ast.Expr) bool {
	t := s.info.Types[e].Type
	if t == nil {
		return false
	}
	_, ok := t.Underlying().(*types.Map)
	return ok
}

// orderFreeLoop tells whether a loop over a map evidently comes to the same
// result in any order: every statement of it touches the entry of its own key,
// counts, or collects into a slice that is sorted later in the function; or it
// changes nothing and stops with one constant answer.
func (s source) orderFreeLoop(loop *ast.RangeStmt, fn ast.Decl) bool {
	l := &mapLoop{source: s, loop: loop, fn: fn}
	if id, ok := loop.Key.(*ast.Ident); ok {
		l.key = s.info.Defs[id]
	}
	return l.block(loop.Body.List) && (l.answer == "" || !l.writes)
}

type mapLoop struct {
	source
	loop   *ast.RangeStmt
	fn     ast.Decl
	key    types.Object // nil when the loop has no key variable
	answer string       // the constants returned from inside, when any are
	writes bool         // something that outlives the round is changed
}

func (l *mapLoop) block(list []ast.Stmt) bool {
	for _, stmt := range list {
		if !l.stmt(stmt) {
			return false
		}
	}
	return true
}

func (l *mapLoop) stmt(stmt ast.Stmt) bool {
	switch n := stmt.(type) {
	case nil, *ast.EmptyStmt, *ast.DeclStmt:
		return true
	case *ast.BlockStmt:
		return l.block(n.List)
	case *ast.IfStmt:
		return l.stmt(n.Init) && l.block(n.Body.List) && l.stmt(n.Else)
	case *ast.RangeStmt: // a loop over a map in it is judged by itself, too
		return l.block(n.Body.List)
	case *ast.ForStmt:
		return l.stmt(n.Init) && l.stmt(n.Post) && l.block(n.Body.List)
	case *ast.BranchStmt:
		return n.Tok == token.CONTINUE && n.Label == nil
	case *ast.ReturnStmt:
		return l.constantReturn(n)
	case *ast.IncDecStmt:
		return l.counts(n.X)
	case *ast.ExprStmt:
		return l.deletesOwnKey(n.X)
	case *ast.AssignStmt:
		return l.assign(n)
	}
	return false
}

func (l *mapLoop) assign(n *ast.AssignStmt) bool {
	switch n.Tok {
	case token.DEFINE:
		return true
	case token.ADD_ASSIGN, token.SUB_ASSIGN, token.OR_ASSIGN, token.XOR_ASSIGN, token.AND_ASSIGN:
		return l.counts(n.Lhs[0])
	case token.ASSIGN:
	default:
		return false
	}
	if len(n.Lhs) == 1 && len(n.Rhs) == 1 && l.appendsToSorted(n.Lhs[0], n.Rhs[0]) {
		return true
	}
	for _, lhs := range n.Lhs {
		switch {
		case l.local(lhs):
		case l.ownEntry(lhs):
			l.writes = true
		default:
			return false
		}
	}
	return true
}

// ownEntry: other[key] = ..., one write a key.
func (l *mapLoop) ownEntry(e ast.Expr) bool {
	index, ok := ast.Unparen(e).(*ast.IndexExpr)
	return ok && l.isMap(index.X) && l.isKey(index.Index)
}

func (l *mapLoop) isKey(e ast.Expr) bool {
	id, ok := ast.Unparen(e).(*ast.Ident)
	return ok && l.key != nil && l.info.Uses[id] == l.key
}

// local: a variable that lives no longer than one round, or a field of one.
func (l *mapLoop) local(e ast.Expr) bool {
	switch n := ast.Unparen(e).(type) {
	case *ast.SelectorExpr:
		return l.local(n.X)
	case *ast.Ident:
		if n.Name == "_" {
			return true
		}
		obj := l.info.Uses[n]
		return obj != nil && l.loop.Pos() <= obj.Pos() && obj.Pos() < l.loop.End()
	}
	return false
}

// counts: integers add up to the same in any order, strings and floats don't.
func (l *mapLoop) counts(e ast.Expr) bool {
	if l.local(e) {
		return true
	}
	l.writes = true
	basic, ok := l.info.Types[e].Type.Underlying().(*types.Basic)
	return ok && basic.Info()&types.IsInteger != 0
}

func (l *mapLoop) deletesOwnKey(e ast.Expr) bool {
	call, ok := ast.Unparen(e).(*ast.CallExpr)
	if !ok || len(call.Args) != 2 {
		return false
	}
	id, ok := ast.Unparen(call.Fun).(*ast.Ident)
	l.writes = true
	return ok && l.info.Uses[id] == types.Universe.Lookup("delete") && l.isKey(call.Args[1])
}

// constantReturn: every return inside gives the same constants, so which round
// comes first makes no difference.
func (l *mapLoop) constantReturn(n *ast.ReturnStmt) bool {
	answer := "return"
	for _, r := range n.Results {
		tv := l.info.Types[r]
		switch {
		case tv.Value != nil:
			answer += " " + tv.Value.ExactString()
		case tv.IsNil():
			answer += " nil"
		default:
			return false
		}
	}
	if l.answer == "" {
		l.answer = answer
	}
	return l.answer == answer
}

// appendsToSorted: list = append(list, ...) with a sort of list after the loop.
func (l *mapLoop) appendsToSorted(lhs, rhs ast.Expr) bool {
	list, ok := lhs.(*ast.Ident)
	call, isCall := ast.Unparen(rhs).(*ast.CallExpr)
	if !ok || !isCall {
		return false
	}
	id, ok := ast.Unparen(call.Fun).(*ast.Ident)
	if !ok || l.info.Uses[id] != types.Universe.Lookup("append") {
		return false
	}
	if l.local(list) {
		return true
	}
	l.writes = true
	sorted := false
	ast.Inspect(l.fn, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || call.Pos() < l.loop.End() || len(call.Args) == 0 {
			return true
		}
		if l.isCall(call, "slices", "Sort", "SortFunc") || l.isCall(call, "sort", "Strings", "Ints", "Slice", "Sort") {
			ast.Inspect(call.Args[0], func(arg ast.Node) bool {
				if id, ok := arg.(*ast.Ident); ok && l.info.Uses[id] == l.info.Uses[list] {
					sorted = true
				}
				return true
			})
		}
		return true
	})
	return sorted
}
