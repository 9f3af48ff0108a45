// Package doctable reads the tables of docs/compatibility.md for the tests that compare them with the code. A row is
//
//	| `name`, `name` | state | how, and why |
//
// and its names are compared both ways: what the code has must be in the table, and what the table calls anything but
// absent must be in the code.
package doctable

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// States of a row.
const (
	Same    = "same"
	Differs = "differs"
	Ours    = "ours"
	NotHere = "not here"
)

// Row is one name of a row of a table.
type Row struct {
	State, Note string
}

var name = regexp.MustCompile("`([^`]+)`")

// Read returns the rows of all tables below a heading, up to the next one of its level, by their names. A row that is not
// of the shape above fails the test, and so does a name that is there twice.
func Read(t testing.TB, path, heading string) map[string]Row {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(b), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s has no heading %q", path, heading)
	}
	level, _, _ := strings.Cut(heading, " ")
	section, _, _ = strings.Cut(section, "\n"+level+" ")
	rows := map[string]Row{}
	for line := range strings.Lines(section) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), " | ")
		if len(cells) < 3 {
			t.Errorf("%s, %s: want names, a state and a remark: %s", path, heading, line)
			continue
		}
		row := Row{State: strings.TrimSpace(cells[1]), Note: strings.TrimSpace(strings.Join(cells[2:], " | "))}
		row.check(t, line)
		for _, m := range name.FindAllStringSubmatch(cells[0], -1) {
			if _, twice := rows[m[1]]; twice {
				t.Errorf("%s, %s: %s is there twice", path, heading, m[1])
			}
			rows[m[1]] = row
		}
	}
	return rows
}

func (r Row) check(t testing.TB, line string) {
	t.Helper()
	switch r.State {
	case Same:
	case Differs, Ours, NotHere:
		if r.Note == "" {
			t.Errorf("says that it is not the same and not how: %s", line)
		}
	default:
		t.Errorf("%q is none of %s, %s, %s and %s: %s", r.State, Same, Differs, Ours, NotHere, line)
	}
}

// Compare holds the names of rows to those of the code, of which there must be at least least. Rows that are not here are
// the caller's to check.
func Compare(t testing.TB, rows map[string]Row, code []string, least int) {
	t.Helper()
	if len(code) < least {
		t.Fatalf("the code has %d names, want %d at least", len(code), least)
	}
	has := map[string]bool{}
	for _, n := range code {
		has[n] = true
		if _, ok := rows[n]; !ok {
			t.Errorf("the code has %s, and the table does not", n)
		}
	}
	for n, row := range rows {
		if row.State != NotHere && !has[n] {
			t.Errorf("the table has %s as %q, and the code does not", n, row.State)
		}
	}
}
