package main

import (
	"fmt"
	"html"
	"strings"
	"unicode/utf8"
)

// Sizes are in pixels. Every piece of text is given its width, so that columns stay columns in any font.
const (
	fontSize   = 14
	charWidth  = 8.4
	lineHeight = 20
	margin     = 20
	barHeight  = 32
)

// Colours of the picture.
const (
	background = "#1b212c"
	bar        = "#2a3240"
	button     = "#4c586c"
	plain      = "#d5dbe5"
	faint      = "#8b96a8"
	green      = "#7fc98f"
	red        = "#e88888"
)

// piece is text in one style.
type piece struct {
	text string
	code string // of SGR; empty is plain
}

// draw returns an SVG of a terminal in which the command printed the output.
func draw(command, output string) []byte {
	lines := [][]piece{{{"$ ", "32"}, {command, "1"}}}
	for line := range strings.Lines(strings.TrimRight(output, "\n")) {
		lines = append(lines, pieces(strings.TrimRight(line, "\n")))
	}
	columns := 0
	for _, line := range lines {
		columns = max(columns, width(line))
	}
	w, h := 2*margin+float64(columns)*charWidth, barHeight+2*margin+len(lines)*lineHeight

	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%d" viewBox="0 0 %.0f %d" role="img">`+"\n", w, h, w, h)
	fmt.Fprintf(&b, "<title>%s</title>\n", html.EscapeString("Terminal after "+command))
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" rx="8" fill="%s"/>`+"\n", background)
	fmt.Fprintf(&b, `<path d="M0 %d V8 a8 8 0 0 1 8-8 H%.0f a8 8 0 0 1 8 8 V%d Z" fill="%s"/>`+"\n", barHeight, w-8, barHeight, bar)
	for i := range 3 {
		fmt.Fprintf(&b, `<circle cx="%d" cy="%d" r="6" fill="%s"/>`+"\n", margin+i*20, barHeight/2, button)
	}
	fmt.Fprintf(&b, `<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="%d" fill="%s" xml:space="preserve">`+"\n", fontSize, plain)
	for i, line := range lines {
		drawLine(&b, line, barHeight+margin+i*lineHeight+fontSize)
	}
	b.WriteString("</g>\n</svg>\n")
	return []byte(b.String())
}

func drawLine(b *strings.Builder, line []piece, y int) {
	column := 0
	for _, p := range line {
		// Some viewers drop blanks at the ends, others don't.
		text := strings.TrimLeft(p.text, " ")
		column += len(p.text) - len(text)
		advance := utf8.RuneCountInString(text)
		text = strings.TrimRight(text, " ")
		n := utf8.RuneCountInString(text)
		if n > 0 {
			fmt.Fprintf(b, `<text x="%.1f" y="%d" textLength="%.1f"%s>%s</text>`+"\n",
				margin+float64(column)*charWidth, y, float64(n)*charWidth, style(p.code), html.EscapeString(text))
		}
		column += advance
	}
}

func style(code string) string {
	switch code {
	case "1":
		return ` font-weight="bold"`
	case "2":
		return ` fill="` + faint + `"`
	case "31":
		return ` fill="` + red + `"`
	case "32":
		return ` fill="` + green + `"`
	}
	return ""
}

// pieces splits a line at the SGR sequences in it, which end with m; a 0 ends a style.
func pieces(line string) []piece {
	var out []piece
	code := ""
	for {
		text, rest, found := strings.Cut(line, "\x1b[")
		if text != "" {
			out = append(out, piece{text, code})
		}
		if !found {
			return out
		}
		code, line, _ = strings.Cut(rest, "m")
		if code == "0" {
			code = ""
		}
	}
}

func width(line []piece) int {
	n := 0
	for _, p := range line {
		n += utf8.RuneCountInString(p.text)
	}
	return n
}
