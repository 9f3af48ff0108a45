// Package progress draws how far a long operation has come, on a terminal and nowhere else: written to a file or a
// pipe, a Bar draws nothing, so that whoever redirects standard error gets messages only. Bars use no colour.
//
// Commands make a Bar on standard error, hand Set to the operation, and call Done before they print anything.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	width    = 30                     // of the bar in characters
	interval = 100 * time.Millisecond // between two drawings: faster is only flicker
	clear    = "\r\x1b[K"             // the line, and back to its start
)

// Bar is one line that is drawn over and over. It is safe for concurrent use. A nil Bar draws nothing.
type Bar struct {
	w     io.Writer // nil draws nothing
	now   func() time.Time
	start time.Time

	mu    sync.Mutex // guards what follows
	label string
	total int64
	done  int64
	drawn time.Time // zero before the first drawing
	ended bool
}

// New returns a bar that is drawn on w if that is a terminal. total is what Set reaches at the end, 0 if that is not
// known.
func New(w io.Writer, label string, total int64) *Bar {
	if !terminal(w) {
		w = nil
	}
	return newBar(w, label, total, time.Now)
}

func newBar(w io.Writer, label string, total int64, now func() time.Time) *Bar {
	return &Bar{w: w, now: now, start: now(), label: label, total: total}
}

// terminal reports whether w understands what a bar writes.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// Add says that n more is done.
func (b *Bar) Add(n int64) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done += n
	b.draw()
}

// Set says how much is done of how much. A label other than before starts over.
func (b *Bar) Set(label string, done, total int64) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if label != b.label {
		b.label, b.start = label, b.now()
	}
	b.done, b.total = done, total
	b.draw()
}

// Done takes the bar off the terminal. Nothing is drawn after it.
func (b *Bar) Done() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.w != nil && !b.drawn.IsZero() && !b.ended {
		fmt.Fprint(b.w, clear)
	}
	b.ended = true
}

// draw draws the bar unless it has just been drawn. b.mu is held.
func (b *Bar) draw() {
	now := b.now()
	if b.w == nil || b.ended || !b.drawn.IsZero() && now.Sub(b.drawn) < interval {
		return
	}
	b.drawn = now
	fmt.Fprint(b.w, clear+b.line(now.Sub(b.start)))
}

func (b *Bar) line(took time.Duration) string {
	if b.total <= 0 {
		return fmt.Sprintf("%s %s", b.label, amount(b.done))
	}
	done := min(max(b.done, 0), b.total)
	part := float64(done) / float64(b.total)
	full := int(part * width)
	line := fmt.Sprintf("%s [%s%s] %3d%% %s/%s", b.label, strings.Repeat("#", full), strings.Repeat("-", width-full), int(part*100), amount(done), amount(b.total))
	if took >= time.Second && part > 0 && part < 1 {
		left := time.Duration(float64(took) * (1 - part) / part)
		line += fmt.Sprintf(", %s left", left.Round(time.Second))
	}
	return line
}

// amount writes a number short: 950, 1.2k, 34.5M.
func amount(n int64) string {
	f, unit := float64(n), ""
	for _, next := range []string{"k", "M", "G", "T"} {
		if f < 1000 {
			break
		}
		f, unit = f/1000, next
	}
	if unit == "" {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%.1f%s", f, unit)
}
