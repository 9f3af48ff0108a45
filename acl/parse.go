package acl

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

const (
	// MaxRules bounds a policy's text, in bytes.
	MaxRules = 64 << 10
	// maxDepth bounds how deep blocks and lists nest: the parser recurses, and no policy needs more than four.
	maxDepth = 16
	// maxProblems bounds how many mistakes of a policy are told.
	maxProblems = 20
	// maxLabel bounds a pattern, in bytes.
	maxLabel = 128
)

// Parse reads a policy. An error tells every mistake with its line and what was expected there.
func Parse(rules string) (*Policy, error) {
	b := &parser{policy: new(Policy), seen: map[string]bool{}}
	if len(rules) > MaxRules {
		return nil, fmt.Errorf("policy has %d bytes, more than %d", len(rules), MaxRules)
	}
	if b.guard([]byte(rules)) {
		b.file([]byte(rules))
	}
	if len(b.problems) > 0 {
		return nil, errors.Join(b.problems...)
	}
	return b.policy, nil
}

type parser struct {
	policy   *Policy
	seen     map[string]bool // blocks that there may be once, with their labels
	problems []error
}

func (b *parser) failf(r hcl.Range, format string, args ...any) {
	if len(b.problems) < maxProblems {
		b.problems = append(b.problems, fmt.Errorf("line %d: %s", r.Start.Line, fmt.Sprintf(format, args...)))
	}
}

// guard refuses what a policy never has, before the parser sees it: it recurses, and a policy is data.
func (b *parser) guard(src []byte) bool {
	tokens, _ := hclsyntax.LexConfig(src, "policy", hcl.InitialPos)
	depth := 0
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack:
			if depth++; depth > maxDepth {
				b.failf(t.Range, "nested more than %d levels deep", maxDepth)
				return false
			}
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack:
			depth--
		case hclsyntax.TokenIdent, hclsyntax.TokenEqual, hclsyntax.TokenComma, hclsyntax.TokenNewline,
			hclsyntax.TokenOQuote, hclsyntax.TokenCQuote, hclsyntax.TokenQuotedLit, hclsyntax.TokenStringLit, hclsyntax.TokenComment,
			hclsyntax.TokenEOF, hclsyntax.TokenColon, hclsyntax.TokenNumberLit:
		default:
			b.failf(t.Range, "%q can't stand here: want blocks with quoted texts and lists of them", printable(t.Bytes))
			return false
		}
	}
	return true
}

// printable is the start of a piece of the text, for a message.
func printable(p []byte) string {
	if len(p) > 40 {
		p = p[:40]
	}
	return strings.ToValidUTF8(string(p), "?")
}

func (b *parser) file(src []byte) {
	file, diags := hclsyntax.ParseConfig(src, "policy", hcl.InitialPos)
	if diags.HasErrors() {
		for _, d := range diags {
			at := hcl.Range{Start: hcl.InitialPos}
			if d.Subject != nil {
				at = *d.Subject
			}
			b.failf(at, "%s: %s", d.Summary, strings.TrimSuffix(d.Detail, "."))
		}
		return
	}
	body := file.Body.(*hclsyntax.Body)
	for _, a := range sortedAttributes(body) {
		b.failf(a.NameRange, "%q is not a block: want %s { ... }", a.Name, a.Name)
	}
	for _, blk := range body.Blocks {
		b.block(blk)
	}
}

func sortedAttributes(body *hclsyntax.Body) []*hclsyntax.Attribute {
	return slices.SortedFunc(maps.Values(body.Attributes), func(x, y *hclsyntax.Attribute) int {
		return x.NameRange.Start.Byte - y.NameRange.Start.Byte
	})
}

func (b *parser) block(blk *hclsyntax.Block) {
	spec, ok := blocks[blk.Type]
	if !ok {
		b.failf(blk.TypeRange, "block %q is not known; want one of %s", blk.Type, strings.Join(slices.Sorted(maps.Keys(blocks)), ", "))
		return
	}
	pattern := ""
	switch {
	case spec.labelled && len(blk.Labels) != 1:
		b.failf(blk.TypeRange, "%s wants one name or pattern: %s \"*\" { ... }", blk.Type, blk.Type)
		return
	case !spec.labelled && len(blk.Labels) != 0:
		b.failf(blk.TypeRange, "%s takes no name: want %s { ... }", blk.Type, blk.Type)
		return
	case spec.labelled:
		pattern = blk.Labels[0]
		if pattern == "" || len(pattern) > maxLabel {
			b.failf(blk.LabelRanges[0], "the name of %s has %d bytes; want 1 to %d", blk.Type, len(pattern), maxLabel)
			return
		}
	}
	if key := blk.Type + " " + pattern; b.seen[key] {
		b.failf(blk.TypeRange, "%s is there twice: put both into one block", strings.TrimSpace(key))
		return
	} else {
		b.seen[key] = true
	}
	spec.put(b.policy, pattern, b.rule(blk, spec))
}

func (b *parser) rule(blk *hclsyntax.Block, spec block) (r Rule) {
	for _, a := range sortedAttributes(blk.Body) {
		switch a.Name {
		case "policy":
			if word, ok := b.text(a.Expr, blk.Type+".policy"); ok {
				r.Policy = b.oneOf(a.Expr.Range(), blk.Type+".policy", word, spec.words)
			}
		case "capabilities":
			if spec.capabilities == nil {
				b.failf(a.NameRange, "%s takes no capabilities; want policy = one of %s", blk.Type, quoted(spec.words))
				continue
			}
			r.Capabilities = b.capabilities(a.Expr, blk.Type+".capabilities", spec.capabilities)
		default:
			b.failf(a.NameRange, "%s.%s is not known; want policy%s", blk.Type, a.Name, orCapabilities(spec))
		}
	}
	for _, inner := range blk.Body.Blocks {
		if !spec.inner[inner.Type] {
			b.failf(inner.TypeRange, "block %q can't stand inside %s", inner.Type, blk.Type)
		}
	}
	return r
}

func orCapabilities(spec block) string {
	if spec.capabilities == nil {
		return ""
	}
	return " or capabilities"
}

func quoted(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = fmt.Sprintf("%q", s)
	}
	return strings.Join(out, ", ")
}

func (b *parser) oneOf(at hcl.Range, what, got string, want []string) string {
	if !slices.Contains(want, got) && !slices.Equal(want, anyCapability) {
		b.failf(at, "%s: %q is not known; want one of %s", what, got, quoted(want))
		return ""
	}
	return got
}

func (b *parser) text(e hclsyntax.Expression, what string) (string, bool) {
	v, diags := e.Value(nil)
	if diags.HasErrors() || !v.IsKnown() || v.IsNull() || v.Type() != cty.String {
		b.failf(e.Range(), "%s: want a quoted text", what)
		return "", false
	}
	return v.AsString(), true
}

func (b *parser) capabilities(e hclsyntax.Expression, what string, want []string) []string {
	list, ok := e.(*hclsyntax.TupleConsExpr)
	if !ok {
		b.failf(e.Range(), "%s: want a list of quoted texts", what)
		return nil
	}
	var out []string
	for _, item := range list.Exprs {
		if s, ok := b.text(item, what); ok {
			if s = b.oneOf(item.Range(), what, s, want); s != "" {
				out = append(out, s)
			}
		}
	}
	return out
}
