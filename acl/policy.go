package acl

// Policy is one policy as it was written. Blocks that nothing here asks about are checked and kept.
type Policy struct {
	Node     Rule
	Agent    Rule
	Operator Rule
	Quota    Rule
	Plugin   Rule

	// By pattern, in the order of the text.
	NodePools   []NamedRule
	Namespaces  []NamedRule
	HostVolumes []NamedRule
	// Sentinel is the rule of a block that only another edition reads.
	Sentinel Rule
}

// Rule is the inside of a block: a word, single capabilities, or both. The zero value says nothing.
type Rule struct {
	Policy       string // read, write, deny, and for some blocks others; "" for none
	Capabilities []string
}

// NamedRule is a block with a label, in which * stands for any characters.
type NamedRule struct {
	Pattern string
	Rule
}

// denied is the word and the capability that refuse everything in a block.
const denied = "deny"

// block says what may stand in one kind of block.
type block struct {
	words        []string
	capabilities []string // nil: none; any: whatever the text says
	labelled     bool
	inner        map[string]bool // blocks inside, which are kept unread
	put          func(p *Policy, pattern string, r Rule)
}

// anyCapability is for blocks whose capabilities mean nothing here: those of the wider product grow with its versions.
var anyCapability = []string{"*"}

var (
	words          = []string{"read", "write", denied}
	namespaceWords = []string{"read", "write", "scale", denied}
)

var blocks = map[string]block{
	"node":     {words: words, put: func(p *Policy, _ string, r Rule) { p.Node = r }},
	"agent":    {words: words, put: func(p *Policy, _ string, r Rule) { p.Agent = r }},
	"quota":    {words: words, put: func(p *Policy, _ string, r Rule) { p.Quota = r }},
	"plugin":   {words: []string{"list", "read", denied}, put: func(p *Policy, _ string, r Rule) { p.Plugin = r }},
	"sentinel": {words: words, put: func(p *Policy, _ string, r Rule) { p.Sentinel = r }},
	"operator": {
		words:        words,
		capabilities: []string{denied, "keyring-delete", "keyring-read", "keyring-rotate", "license-read", "snapshot-save"},
		put:          func(p *Policy, _ string, r Rule) { p.Operator = r },
	},
	"node_pool": {
		words: words, capabilities: []string{"delete", denied, "read", "write"}, labelled: true,
		put: func(p *Policy, pattern string, r Rule) { p.NodePools = append(p.NodePools, NamedRule{pattern, r}) },
	},
	"namespace": {
		words: namespaceWords, capabilities: anyCapability, labelled: true, inner: map[string]bool{"variables": true},
		put: func(p *Policy, pattern string, r Rule) { p.Namespaces = append(p.Namespaces, NamedRule{pattern, r}) },
	},
	"host_volume": {
		words: words, capabilities: anyCapability, labelled: true,
		put: func(p *Policy, pattern string, r Rule) { p.HostVolumes = append(p.HostVolumes, NamedRule{pattern, r}) },
	},
}
