package config

import (
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// decoder writes one file's values over a configuration.
type decoder struct {
	cfg  *Config
	seen map[string]Pos // what this file has set so far
	errs problems
	// notes counts the warnings of this file; they go to the configuration.
	notes int
}

// decode merges root, the tree of one file, into c. On an error c is half changed and must be thrown away.
func (c *Config) decode(root *node) problems {
	d := decoder{cfg: c, seen: make(map[string]Pos)}
	d.block(reflect.ValueOf(c).Elem(), "", root)
	return d.errs
}

func (d *decoder) failf(pos Pos, key, format string, args ...any) {
	switch {
	case len(d.errs) < maxProblems:
		d.errs.add(pos, key, format, args...)
	case len(d.errs) == maxProblems:
		d.errs.add(Pos{File: pos.File}, "", "more than %d problems, the rest is not shown", maxProblems)
	}
}

func (d *decoder) note(pos Pos, key, format string, args ...any) {
	if d.notes++; d.notes <= maxProblems {
		d.cfg.notes.add(pos, key, format, args...)
	}
}

func (d *decoder) block(v reflect.Value, path string, n *node) {
	fields := fieldsOf(v, path)
	for _, m := range n.members {
		name := join(path, m.name)
		if path == "" && m.name == "keyring" {
			d.keyrings(m.value)
			continue
		}
		if ignored[path][m.name] {
			d.note(m.pos, name, "has no meaning here and is ignored")
			continue
		}
		if current, ok := older[name]; ok {
			f, _ := d.cfg.lookup(current)
			d.note(m.pos, name, "is an older name of %s, which is preferred", current)
			d.member(f, m)
			continue
		}
		i := slices.IndexFunc(fields, func(f field) bool { return f.name() == m.name })
		if i < 0 {
			d.unknown(fields, path, m)
			continue
		}
		d.member(fields[i], m)
	}
}

// unknown reports a name that is no setting, and the nearest that is.
func (d *decoder) unknown(fields []field, path string, m member) {
	if len(d.errs) > maxProblems {
		return
	}
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name()
	}
	if path == "" {
		names = append(names, "keyring")
	}
	hint := ""
	if near := nearest(m.name, names); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	where := "the top level"
	if path != "" {
		where = path
	}
	d.failf(m.pos, "", "unknown setting or block %q in %s%s", clip(m.name), where, hint)
}

// member decodes one setting or block and remembers where it was given.
func (d *decoder) member(f field, m member) {
	if f.isBlock() {
		for _, item := range listed(m.value) {
			if !d.first(f.path, item.pos) {
				continue
			}
			if item.kind != kindObject {
				d.failf(item.pos, f.path, "must be a block, got a %s", item.kind)
				continue
			}
			d.block(f.value, f.path, item)
		}
		return
	}
	if !d.first(f.path, m.pos) {
		return
	}
	if msg := assign(f, m.value); msg != "" {
		d.failf(m.value.pos, f.path, "%s", msg)
		return
	}
	d.cfg.origin[f.path] = m.pos
}

// listed opens a JSON list of blocks; anything else is one item.
func listed(n *node) []*node {
	if n.kind == kindList {
		return n.list
	}
	return []*node{n}
}

// first notes that this file gives path here; it reports false, and an error, if it did so before.
func (d *decoder) first(path string, pos Pos) bool {
	if before, ok := d.seen[path]; ok {
		d.failf(pos, path, "given twice in this file, first at %s", before)
		return false
	}
	d.seen[path] = pos
	d.cfg.origin[path] = pos
	return true
}

// assign puts n into f, merging lists and maps, and says what is wrong if it does not fit. The message never holds the
// value, which may be a secret in the wrong place; a duration is the exception, being none.
func assign(f field, n *node) string {
	switch p := f.value.Addr().Interface().(type) {
	case *string:
		if n.kind != kindString {
			return fmt.Sprintf("must be a string, got a %s", n.kind)
		}
		*p = n.str
	case *bool:
		if n.kind != kindBool {
			return fmt.Sprintf("must be true or false without quotes, got a %s", n.kind)
		}
		*p = n.flag
	case *int:
		i, ok := wholeNumber(n)
		if !ok {
			return fmt.Sprintf("must be a whole number, got a %s", n.kind)
		}
		*p = i
	case *float64:
		if n.kind != kindNumber {
			return fmt.Sprintf("must be a number, got a %s", n.kind)
		}
		*p, _ = n.num.Float64()
	case *time.Duration:
		if n.kind != kindString {
			return fmt.Sprintf("must be a duration in quotes such as \"10s\", got a %s", n.kind)
		}
		dur, err := time.ParseDuration(n.str)
		if err != nil {
			return fmt.Sprintf("must be a duration such as \"10s\" or \"1h30m\", got %q", clip(n.str))
		}
		*p = dur
	case *[]string:
		return assignList(p, n, f.comma)
	case *map[string]string:
		return assignMap(p, n)
	default:
		panic(fmt.Sprintf("config: field %s has type %s, which the decoder does not know", f.path, f.value.Type()))
	}
	return ""
}

func assignList(p *[]string, n *node, comma bool) string {
	if comma && n.kind == kindString {
		*p = appendNew(*p, splitList(n.str))
		return ""
	}
	if n.kind != kindList {
		return fmt.Sprintf("must be a list of strings, got a %s", n.kind)
	}
	items := make([]string, len(n.list))
	for i, item := range n.list {
		if item.kind != kindString {
			return fmt.Sprintf("must be a list of strings, item %d is a %s", i+1, item.kind)
		}
		items[i] = item.str
	}
	*p = appendNew(*p, items)
	return ""
}

// assignMap takes a map from a block or an object; numbers and booleans become the text they would be written as.
func assignMap(p *map[string]string, n *node) string {
	if n.kind != kindObject {
		return fmt.Sprintf("must be a block of names and strings, got a %s", n.kind)
	}
	if *p == nil {
		*p = make(map[string]string, len(n.members))
	}
	given := make(map[string]bool, len(n.members))
	for _, m := range n.members {
		if given[m.name] {
			return fmt.Sprintf("%q is given twice", clip(m.name))
		}
		given[m.name] = true
		switch m.value.kind {
		case kindString:
			(*p)[m.name] = m.value.str
		case kindNumber:
			text, ok := numberText(m.value)
			if !ok {
				return fmt.Sprintf("%q is a number too large", clip(m.name))
			}
			(*p)[m.name] = text
		case kindBool:
			(*p)[m.name] = strconv.FormatBool(m.value.flag)
		default:
			return fmt.Sprintf("%q must be a string, got a %s", clip(m.name), m.value.kind)
		}
	}
	return ""
}

func wholeNumber(n *node) (int, bool) {
	if n.kind != kindNumber {
		return 0, false
	}
	i, accuracy := n.num.Int64()
	return int(i), accuracy == big.Exact
}

// numberText writes a number as text. It goes through the machine's own types: writing out an arbitrary exponent takes
// quadratic time.
func numberText(n *node) (string, bool) {
	if i, ok := wholeNumber(n); ok {
		return strconv.Itoa(i), true
	}
	x, _ := n.num.Float64()
	return strconv.FormatFloat(x, 'g', -1, 64), !math.IsInf(x, 0)
}

// appendNew returns a new slice of list and those items it does not hold yet, in order.
func appendNew(list, items []string) []string {
	merged := slices.Clone(list)
	have := set(list...)
	for _, item := range items {
		if !have[item] {
			have[item] = true
			merged = append(merged, item)
		}
	}
	return merged
}

func splitList(s string) []string {
	var items []string
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// Override sets one setting from text, as a command-line flag does: key is its dotted name ("server.bootstrap_expect"),
// origin what later messages name instead of a file ("-bootstrap-expect"). Booleans take what strconv.ParseBool takes,
// lists are comma-separated and appended to what files gave, maps take "name=value". The error is a *Problem.
func (c *Config) Override(key, value, origin string) error {
	pos := Pos{File: origin}
	f, ok := c.lookup(key)
	if !ok || f.isBlock() {
		return &Problem{Pos: pos, Key: key, Message: "is not a setting"}
	}
	n := &node{kind: kindString, pos: pos, str: value}
	switch f.value.Interface().(type) {
	case bool:
		if b, err := strconv.ParseBool(value); err == nil {
			n = &node{kind: kindBool, pos: pos, flag: b}
		}
	case int, float64:
		if x, _, err := big.ParseFloat(value, 10, 64, big.ToNearestEven); err == nil {
			n = &node{kind: kindNumber, pos: pos, num: x}
		}
	case []string:
		n = &node{kind: kindList, pos: pos}
		for _, item := range splitList(value) {
			n.list = append(n.list, &node{kind: kindString, pos: pos, str: item})
		}
	case map[string]string:
		if name, text, ok := strings.Cut(value, "="); ok && name != "" {
			n = &node{kind: kindObject, pos: pos, members: []member{{name: name, pos: pos,
				value: &node{kind: kindString, pos: pos, str: text}}}}
		}
	}
	if msg := assign(f, n); msg != "" {
		return &Problem{Pos: pos, Key: key, Message: msg}
	}
	if c.origin == nil {
		c.origin = make(map[string]Pos)
	}
	c.origin[key] = pos
	return nil
}
