package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/template"
	"time"
	"unicode"
	"unicode/utf8"
)

// none stands for a value that is not there.
const none = "<none>"

// shortID is how many characters of an ID are shown without -verbose.
const shortID = 8

// result prints v as JSON or with the template if the user asked for that, else runs text.
func (v *invocation) result(value any, text func(w io.Writer)) error {
	if v.Bool("json") {
		return v.printJSON(value)
	}
	if t := v.String("t"); t != "" {
		return v.printTemplate(t, value)
	}
	text(v.out)
	return nil
}

// done is result for a command that has one sentence to say.
func (v *invocation) done(value any, format string, args ...any) error {
	return v.result(value, func(w io.Writer) { fmt.Fprintln(w, printable(fmt.Sprintf(format, args...))) })
}

func (v *invocation) printJSON(value any) error {
	enc := json.NewEncoder(v.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "    ")
	if err := enc.Encode(value); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	return nil
}

func (v *invocation) printTemplate(text string, value any) error {
	t, err := template.New("-t").Parse(text)
	if err != nil {
		return usagef(v.Command, "parse template: %s", err)
	}
	var out strings.Builder
	if err := t.Execute(&out, value); err != nil {
		return usagef(v.Command, "fill template: %s", err)
	}
	printed := out.String()
	if v.terminal {
		printed = printable(printed)
	}
	if _, err := fmt.Fprintln(v.out, printed); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// table prints rows in columns two spaces apart, the first row being the heading.
func (v *invocation) table(w io.Writer, rows [][]string) {
	colour := v.colour(v.Command)
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			row[i] = printable(cell)
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	for n, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2)
			if colour {
				cell = paint(cell, n == 0)
			}
			line.WriteString(cell + pad)
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// pairs prints aligned lines "Key = value".
func (v *invocation) pairs(w io.Writer, rows [][2]string) {
	width := 0
	for _, r := range rows {
		width = max(width, utf8.RuneCountInString(r[0]))
	}
	colour := v.colour(v.Command)
	for _, r := range rows {
		value := printable(r[1])
		if colour {
			value = paint(value, false)
		}
		fmt.Fprintf(w, "%-*s = %s\n", width, printable(r[0]), value)
	}
}

// section prints a heading over what follows, away from what is above.
func (v *invocation) section(w io.Writer, title string) {
	fmt.Fprintln(w)
	v.heading(w, title)
}

func (v *invocation) heading(w io.Writer, title string) {
	title = printable(title)
	if v.colour(v.Command) {
		title = paint(title, true)
	}
	fmt.Fprintln(w, title)
}

var colours = map[string]string{
	"ready": "32", "alive": "32", "active": "32", "eligible": "32", "down": "31", "failed": "31", "disconnected": "33",
	"initializing": "33", "ineligible": "33", "left": "33", "rekeying": "33", "prepublished": "33",
}

func paint(s string, heading bool) string {
	code := colours[s]
	if heading {
		code = "1"
	}
	if code == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// printable replaces what could make a terminal do something: a node chooses its own name.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		if !unicode.IsGraphic(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// short cuts an ID to its first characters unless -verbose is given.
func (v *invocation) short(id string) string {
	if v.Bool("verbose") || len(id) <= shortID {
		return id
	}
	return id[:shortID]
}

func orNone(s string) string {
	if s == "" {
		return none
	}
	return s
}

// stamp formats a time in UTC to the second.
func stamp(t time.Time) string {
	if t.IsZero() {
		return none
	}
	return t.UTC().Format(time.RFC3339)
}

// stampNano formats Unix nanoseconds, 0 meaning never.
func stampNano(ns int64) string {
	if ns == 0 {
		return none
	}
	return stamp(time.Unix(0, ns))
}
