package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// lineWidth is where the elapsed times end.
const lineWidth = 78

// screen is what the demo prints on. Colours are used on terminals only, and not if NO_COLOR is set; CLICOLOR_FORCE wants them
// anywhere.
type screen struct {
	out    io.Writer
	colour bool
	start  time.Time
	open   bool // a step's line has no end yet
}

func newScreen(out *os.File) *screen {
	info, err := out.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	colour := terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return &screen{out: out, start: time.Now(), colour: colour || os.Getenv("CLICOLOR_FORCE") == "1"}
}

// Styles are SGR codes.
const (
	bold  = "1"
	dim   = "2"
	green = "32"
	red   = "31"
)

func (s *screen) style(code, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s *screen) title(text string) { s.line(s.style(bold, text)) }

func (s *screen) line(text string) {
	s.endStep()
	fmt.Fprintln(s.out, text)
}

// step does a part of the work, with a line that says what and how long it took.
func (s *screen) step(ctx context.Context, what string, do func() (result string, err error)) error {
	start := time.Now()
	fmt.Fprint(s.out, "  "+what)
	s.open = true
	result, err := do()
	if err != nil {
		if !errors.Is(context.Cause(ctx), errInterrupted) {
			fmt.Fprint(s.out, " "+s.style(red, "failed"))
		}
		s.endStep()
		return err
	}
	took := seconds(start)
	text := what
	if result != "" {
		fmt.Fprint(s.out, ": "+result)
		text += ": " + result
	}
	gap := max(lineWidth-2-len(text)-len(took), 1)
	fmt.Fprint(s.out, strings.Repeat(" ", gap)+s.style(dim, took))
	s.endStep()
	return nil
}

func (s *screen) endStep() {
	if s.open {
		fmt.Fprintln(s.out)
		s.open = false
	}
}

// command shows a command line and what it printed.
func (s *screen) command(line, output string) {
	s.line("")
	s.line(s.style(green, "$") + " " + s.style(bold, line))
	s.line(strings.TrimRight(output, "\n"))
}

// elapsed is the time since the start.
func (s *screen) elapsed() string { return seconds(s.start) }

func seconds(since time.Time) string { return fmt.Sprintf("%.1fs", time.Since(since).Seconds()) }
