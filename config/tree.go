package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/big"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	hcljson "github.com/hashicorp/hcl/v2/json"
	"github.com/zclconf/go-cty/cty"
)

// maxDepth bounds the nesting of blocks, objects and lists: the parsers recurse, and no setting is deeper than five.
const maxDepth = 32

type kind string

const (
	kindString kind = "string"
	kindNumber kind = "number"
	kindBool   kind = "boolean"
	kindNull   kind = "null"
	kindList   kind = "list"
	kindObject kind = "block"
)

// node is a value of either syntax, so that decoding need not know which it was. Labels of a block have become levels of
// nesting, as they are in JSON.
type node struct {
	kind    kind
	pos     Pos
	str     string
	num     *big.Float
	flag    bool
	list    []*node
	members []member
}

type member struct {
	name  string
	pos   Pos
	value *node
}

// parseTree reads one file. JSON is told by the name's extension or, for other names than *.hcl, by an opening brace.
func parseTree(name string, src []byte) (*node, problems) {
	b := treeBuilder{file: name}
	isJSON := filepath.Ext(name) == ".json"
	if ext := filepath.Ext(name); ext != ".json" && ext != ".hcl" {
		isJSON = bytes.HasPrefix(bytes.TrimSpace(src), []byte("{"))
	}
	var root *node
	if isJSON {
		root = b.parseJSON(src)
	} else {
		root = b.parseHCL(src)
	}
	if len(b.errs) > 0 {
		return nil, b.errs
	}
	return root, nil
}

type treeBuilder struct {
	file string
	errs problems
}

func (b *treeBuilder) pos(r hcl.Range) Pos {
	return Pos{File: b.file, Line: r.Start.Line}
}

func (b *treeBuilder) failf(r hcl.Range, format string, args ...any) {
	if len(b.errs) < maxProblems {
		b.errs.add(b.pos(r), "", format, args...)
	}
}

// diagnostics takes over a parser's findings. Their detail is left out where it could quote the text of a value.
func (b *treeBuilder) diagnostics(diags hcl.Diagnostics, details bool) {
	for _, d := range diags {
		if d.Severity != hcl.DiagError {
			continue
		}
		r := hcl.Range{Start: hcl.InitialPos}
		if d.Subject != nil {
			r = *d.Subject
		}
		msg := d.Summary
		if details && d.Detail != "" {
			msg += ": " + strings.TrimSuffix(d.Detail, ".")
		}
		b.failf(r, "%s", msg)
	}
}

func (b *treeBuilder) parseHCL(src []byte) *node {
	if !b.guardHCL(src) {
		return nil
	}
	file, diags := hclsyntax.ParseConfig(src, b.file, hcl.InitialPos)
	if diags.HasErrors() {
		b.diagnostics(diags, true)
		return nil
	}
	body, ok := file.Body.(*hclsyntax.Body)
	if !ok {
		b.failf(hcl.Range{Start: hcl.InitialPos}, "not an HCL file")
		return nil
	}
	return b.hclBody(body)
}

// guardHCL refuses, before the recursive parser sees them, nesting that is too deep and everything that is not a literal:
// configuration is data, and an expression can be made arbitrarily deep without a single bracket.
func (b *treeBuilder) guardHCL(src []byte) bool {
	tokens, _ := hclsyntax.LexConfig(src, b.file, hcl.InitialPos)
	depth := 0
	previous := hclsyntax.TokenNil
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack:
			depth++
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack:
			depth--
		case hclsyntax.TokenMinus:
			if previous == hclsyntax.TokenMinus {
				b.failf(t.Range, "values are literals; arithmetic is not supported")
				return false
			}
		case hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			b.failf(t.Range, "values are literals; ${...} and %%{...} are not supported in strings (write $${ or %%%%{ for the characters)")
			return false
		case hclsyntax.TokenOParen, hclsyntax.TokenStar, hclsyntax.TokenSlash, hclsyntax.TokenPlus, hclsyntax.TokenPercent,
			hclsyntax.TokenEqualOp, hclsyntax.TokenNotEqual, hclsyntax.TokenLessThan, hclsyntax.TokenLessThanEq,
			hclsyntax.TokenGreaterThan, hclsyntax.TokenGreaterThanEq, hclsyntax.TokenAnd, hclsyntax.TokenOr,
			hclsyntax.TokenBang, hclsyntax.TokenQuestion, hclsyntax.TokenEllipsis, hclsyntax.TokenDoubleColon:
			b.failf(t.Range, "values are literals; operators and function calls are not supported")
			return false
		}
		if depth > maxDepth {
			b.failf(t.Range, "nested more than %d levels deep", maxDepth)
			return false
		}
		previous = t.Type
	}
	return true
}

func (b *treeBuilder) hclBody(body *hclsyntax.Body) *node {
	n := &node{kind: kindObject, pos: b.pos(body.SrcRange)}
	items := make(map[int]member, len(body.Attributes)+len(body.Blocks))
	starts := make([]int, 0, len(items))
	for name, attr := range body.Attributes {
		starts = append(starts, attr.NameRange.Start.Byte)
		items[attr.NameRange.Start.Byte] = member{name: name, pos: b.pos(attr.NameRange), value: b.hclExpr(attr.Expr)}
	}
	for _, block := range body.Blocks {
		value := b.hclBody(block.Body)
		value.pos = b.pos(block.TypeRange)
		for i := len(block.Labels) - 1; i >= 0; i-- {
			at := b.pos(block.LabelRanges[i])
			value = &node{kind: kindObject, pos: at, members: []member{{name: block.Labels[i], pos: at, value: value}}}
		}
		starts = append(starts, block.TypeRange.Start.Byte)
		items[block.TypeRange.Start.Byte] = member{name: block.Type, pos: b.pos(block.TypeRange), value: value}
	}
	slices.Sort(starts)
	for _, at := range starts {
		n.members = append(n.members, items[at])
	}
	return n
}

func (b *treeBuilder) hclExpr(expr hclsyntax.Expression) *node {
	at := b.pos(expr.StartRange())
	switch e := expr.(type) {
	case *hclsyntax.LiteralValueExpr:
		return scalar(e.Val, at)
	case *hclsyntax.TemplateExpr:
		if s, ok := literalText(e); ok {
			return &node{kind: kindString, pos: at, str: s}
		}
	case *hclsyntax.UnaryOpExpr:
		if lit, ok := e.Val.(*hclsyntax.LiteralValueExpr); ok && e.Op == hclsyntax.OpNegate {
			if n := scalar(lit.Val, at); n.kind == kindNumber {
				n.num = new(big.Float).Neg(n.num)
				return n
			}
		}
	case *hclsyntax.TupleConsExpr:
		n := &node{kind: kindList, pos: at}
		for _, item := range e.Exprs {
			n.list = append(n.list, b.hclExpr(item))
		}
		return n
	case *hclsyntax.ObjectConsExpr:
		n := &node{kind: kindObject, pos: at}
		for _, item := range e.Items {
			name, ok := objectKey(item.KeyExpr)
			if !ok {
				b.failf(item.KeyExpr.StartRange(), "a key must be a name or a quoted string")
				continue
			}
			n.members = append(n.members, member{name: name, pos: b.pos(item.KeyExpr.StartRange()), value: b.hclExpr(item.ValueExpr)})
		}
		return n
	}
	b.failf(expr.StartRange(), "a value must be a quoted string, a number, true, false, a list or an object")
	return &node{kind: kindNull, pos: at}
}

func objectKey(expr hclsyntax.Expression) (string, bool) {
	if name := hcl.ExprAsKeyword(expr); name != "" {
		return name, true
	}
	if key, ok := expr.(*hclsyntax.ObjectConsKeyExpr); ok {
		expr = key.Wrapped
	}
	if t, ok := expr.(*hclsyntax.TemplateExpr); ok {
		return literalText(t)
	}
	return "", false
}

// literalText joins the parts of a string or here-document; false if one of them is not plain text.
func literalText(t *hclsyntax.TemplateExpr) (string, bool) {
	var sb strings.Builder
	for _, part := range t.Parts {
		lit, ok := part.(*hclsyntax.LiteralValueExpr)
		if !ok || lit.Val.IsNull() || lit.Val.Type() != cty.String {
			return "", false
		}
		sb.WriteString(lit.Val.AsString())
	}
	return sb.String(), true
}

func scalar(v cty.Value, at Pos) *node {
	switch {
	case v.IsNull() || !v.IsKnown():
	case v.Type() == cty.String:
		return &node{kind: kindString, pos: at, str: v.AsString()}
	case v.Type() == cty.Number:
		return &node{kind: kindNumber, pos: at, num: v.AsBigFloat()}
	case v.Type() == cty.Bool:
		return &node{kind: kindBool, pos: at, flag: v.True()}
	}
	return &node{kind: kindNull, pos: at}
}

func (b *treeBuilder) parseJSON(src []byte) *node {
	// The standard library finds syntax errors without recursion, so that what follows sees only well-formed documents.
	var doc json.RawMessage
	if err := json.Unmarshal(src, &doc); err != nil {
		line := 1
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
			line += bytes.Count(src[:min(int(syntax.Offset), len(src))], []byte("\n"))
		}
		b.errs.add(Pos{File: b.file, Line: line}, "", "invalid JSON: %s", strings.TrimPrefix(err.Error(), "json: "))
		return nil
	}
	if line, ok := jsonTooDeep(src); ok {
		b.errs.add(Pos{File: b.file, Line: line}, "", "nested more than %d levels deep", maxDepth)
		return nil
	}
	expr, diags := hcljson.ParseExpression(src, b.file)
	if diags.HasErrors() {
		b.diagnostics(diags, false)
		return nil
	}
	root := b.jsonExpr(expr)
	if root.kind != kindObject {
		b.failf(expr.StartRange(), "a JSON configuration must be one object")
	}
	return root
}

func (b *treeBuilder) jsonExpr(expr hcl.Expression) *node {
	at := b.pos(expr.StartRange())
	if pairs, diags := hcl.ExprMap(expr); !diags.HasErrors() {
		n := &node{kind: kindObject, pos: at}
		for _, pair := range pairs {
			key, _ := pair.Key.Value(nil)
			// By convention the key "//" holds a comment.
			if name := key.AsString(); name != "//" {
				n.members = append(n.members, member{name: name, pos: b.pos(pair.Key.StartRange()), value: b.jsonExpr(pair.Value)})
			}
		}
		return n
	}
	if items, diags := hcl.ExprList(expr); !diags.HasErrors() {
		n := &node{kind: kindList, pos: at}
		for _, item := range items {
			n.list = append(n.list, b.jsonExpr(item))
		}
		return n
	}
	value, diags := expr.Value(nil)
	if diags.HasErrors() {
		b.diagnostics(diags, false)
		return &node{kind: kindNull, pos: at}
	}
	return scalar(value, at)
}

// jsonTooDeep finds the line where the nesting of a well-formed document passes maxDepth. Brackets in strings do not count.
func jsonTooDeep(src []byte) (line int, deep bool) {
	depth, line := 0, 1
	inString, escaped := false, false
	for _, c := range src {
		switch {
		case c == '\n':
			line++
		case escaped:
			escaped = false
		case inString:
			escaped = c == '\\'
			inString = c != '"'
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return line, true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return 0, false
}
