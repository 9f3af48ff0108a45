package config

import (
	"errors"
	"fmt"
	"strings"
)

// maxProblems bounds how many mistakes of one file are told; whoever has more has sent the wrong file.
const maxProblems = 100

// Pos is where a setting was given: a file and its line, or, with line 0, another origin such as a flag.
type Pos struct {
	File string
	Line int
}

// String returns "file:line", the origin alone where there is no line, or "" where nothing is known.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Problem is one mistake or, among the warnings, one remark. Pos is zero if the setting was not given anywhere.
type Problem struct {
	Pos Pos
	// Key is the setting's dotted name, "server.encrypt"; empty if the problem is about a file as a whole.
	Key string
	// Message says what is wrong and what would be right. It never holds the value of a secret.
	Message string
}

var _ error = (*Problem)(nil)

// Error returns "file:line: key: message", leaving out what is not known.
func (p *Problem) Error() string {
	parts := make([]string, 0, 3)
	if pos := p.Pos.String(); pos != "" {
		parts = append(parts, pos)
	}
	if p.Key != "" {
		parts = append(parts, p.Key)
	}
	return strings.Join(append(parts, p.Message), ": ")
}

// problems collects mistakes and remarks in the order found.
type problems []Problem

func (ps *problems) add(pos Pos, key, format string, args ...any) {
	*ps = append(*ps, Problem{Pos: pos, Key: key, Message: fmt.Sprintf(format, args...)})
}

// err joins all problems into one error whose parts errors.As finds as *Problem; nil if there are none.
func (ps problems) err() error {
	errs := make([]error, len(ps))
	for i := range ps {
		errs[i] = &ps[i]
	}
	return errors.Join(errs...)
}
