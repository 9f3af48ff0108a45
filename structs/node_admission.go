package structs

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// NodeAdmission is what the introduction that let a node in says of it. Empty means that it does not say.
type NodeAdmission struct {
	Pool       string
	Class      string
	Datacenter string
}

// maxNodeText bounds a node's name, class and datacenter in bytes.
const maxNodeText = 1024

// Copy returns a deep copy.
func (a *NodeAdmission) Copy() *NodeAdmission {
	if a == nil {
		return nil
	}
	c := *a
	return &c
}

// ValidateNodeText refuses what a node's name, class or datacenter can't be; what says which of them it is.
func ValidateNodeText(what, value string) error {
	switch {
	case !utf8.ValidString(value):
		return fmt.Errorf("node %s is not UTF-8", what)
	case strings.ContainsFunc(value, unicode.IsControl):
		return fmt.Errorf("node %s contains a control character", what)
	case len(value) > maxNodeText:
		return fmt.Errorf("node %s is longer than %d bytes", what, maxNodeText)
	}
	return nil
}
