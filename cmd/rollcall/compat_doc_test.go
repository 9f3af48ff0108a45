package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/internal/doctable"
)

const compatibility = "../../docs/compatibility.md"

// everyCommand calls f for every command that does something, with its whole name.
func everyCommand(f func(name string, c *cli.Command)) {
	var walk func(prefix string, commands []*cli.Command)
	walk = func(prefix string, commands []*cli.Command) {
		for _, c := range commands {
			name := strings.TrimSpace(prefix + " " + c.Name)
			if len(c.Commands) > 0 {
				walk(name, c.Commands)
				continue
			}
			f(name, c)
		}
	}
	walk("", (&app{}).root().Commands)
}

// flagsOf lists the names of a command's flags, all spellings.
func flagsOf(c *cli.Command) []string {
	var out []string
	for _, f := range c.Flags {
		out = append(out, f.Names()...)
	}
	return out
}

func TestTheCompatibilityTableHasEveryCommand(t *testing.T) {
	rows := doctable.Read(t, compatibility, "## Commands")
	code := []string{"completion"} // which the library adds when it runs
	everyCommand(func(name string, _ *cli.Command) { code = append(code, name) })
	doctable.Compare(t, rows, code, 75)
	c := newCluster()
	c.serve(t)
	for name, row := range rows {
		if row.State != doctable.NotHere {
			continue
		}
		if got := rollcall(t, "", strings.Fields(name)...); got.code == exitOK || got.err == "" || got.out != "" {
			t.Errorf("rollcall %s is not here and ended with %d: %s%s", name, got.code, got.out, got.err)
		}
	}
}

// wireFlag is a flag in a cell of the facts.
var wireFlag = regexp.MustCompile(`(?:^|[\s/(])-([a-z][a-z-]*|X|H)\b`)

// What the facts name, there is: every command with every flag, unless its row says otherwise.
func TestTheCompatibilityTableHasTheCommandsThatTheFactsName(t *testing.T) {
	text, err := os.ReadFile("../../docs/wire.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## 10. CLI\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := doctable.Read(t, compatibility, "## Commands")
	flags := map[string][]string{}
	everyCommand(func(name string, c *cli.Command) { flags[name] = flagsOf(c) })
	commands, checked := 0, 0
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || strings.HasPrefix(line, "| Command") || strings.HasPrefix(line, "|--") {
			continue
		}
		names := wireCommands(cells[1])
		notes, have := "", []string{"ui"} // which the table says of all
		for _, name := range names {
			commands++
			if rows[name] == (doctable.Row{}) {
				t.Errorf("wire.md names %q, and the table does not", name)
			}
			notes += rows[name].Note
			have = append(have, flags[name]...)
		}
		for _, m := range wireFlag.FindAllStringSubmatch(cells[2], -1) {
			if checked++; !slices.Contains(have, m[1]) && !strings.Contains(notes, "`-"+m[1]+"`") {
				t.Errorf("%s: wire.md names -%s; it is neither a flag nor in the row", names, m[1])
			}
		}
	}
	if commands < 75 || checked < 120 {
		t.Errorf("found %d commands and %d flags in wire.md", commands, checked)
	}
}

// wireCommands gives the commands that a cell of the facts stands for: "acl role create/info" and "node meta apply / read"
// are two each, and words in capitals or brackets are arguments.
func wireCommands(cell string) []string {
	var out []string
	for _, part := range strings.Split(cell, ",") {
		var first []string
		for i, choice := range strings.Split(part, "/") {
			words := slices.DeleteFunc(strings.Fields(choice), func(w string) bool { return w == strings.ToUpper(w) })
			switch {
			case i == 0:
				first = words
			case words[0] != first[0]:
				words = append(slices.Clone(first[:len(first)-1]), words...)
			}
			if name := strings.Join(words, " "); !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}
