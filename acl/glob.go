package acl

import "strings"

// matches reports whether the pattern, in which * stands for any characters or none, is all of name. It takes no more
// than the product of the lengths.
func matches(pattern, name string) bool {
	at, from := 0, 0     // where in the name and the pattern
	star, retry := -1, 0 // the last * and where in the name it is tried next
	for at < len(name) {
		switch {
		case from < len(pattern) && pattern[from] == '*':
			star, retry = from, at
			from++
		case from < len(pattern) && pattern[from] == name[at]:
			from++
			at++
		case star >= 0:
			retry++
			from, at = star+1, retry
		default:
			return false
		}
	}
	return strings.Trim(pattern[from:], "*") == ""
}

// simplify writes several * in a row as one: they are the same pattern.
func simplify(pattern string) string {
	for strings.Contains(pattern, "**") {
		pattern = strings.ReplaceAll(pattern, "**", "*")
	}
	return pattern
}
