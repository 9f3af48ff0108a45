package main

import (
	"os"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"
)

// TestEveryCommandIsInTheCompatibilityTable keeps docs/compatibility.md whole.
func TestEveryCommandIsInTheCompatibilityTable(t *testing.T) {
	text, err := os.ReadFile("../../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	var walk func(prefix string, commands []*cli.Command)
	walk = func(prefix string, commands []*cli.Command) {
		for _, c := range commands {
			name := strings.TrimSpace(prefix + " " + c.Name)
			if len(c.Commands) > 0 {
				walk(name, c.Commands)
				continue
			}
			if found++; !strings.Contains(string(text), "`"+name+"`") {
				t.Errorf("docs/compatibility.md does not have `%s`", name)
			}
		}
	}
	walk("", (&app{}).root().Commands)
	if found < 40 {
		t.Errorf("found %d commands", found)
	}
}
