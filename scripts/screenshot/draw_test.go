package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPiecesFollowTheStyles(t *testing.T) {
	tests := []struct {
		name string
		line string
		want []piece
	}{
		{"plain text is one piece", "a b", []piece{{"a b", ""}}},
		{"a style lasts until it ends", "a \x1b[1mb\x1b[0m c", []piece{{"a ", ""}, {"b", "1"}, {" c", ""}}},
		{"a style may follow another", "\x1b[32m$\x1b[0m \x1b[1mx\x1b[0m", []piece{{"$", "32"}, {" ", ""}, {"x", "1"}}},
		{"an empty line has no pieces", "", nil},
		{"a cut sequence is no text", "a\x1b[3", []piece{{"a", ""}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, pieces(test.line), cmp.AllowUnexported(piece{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestThePictureIsWellFormedAndHoldsTheText(t *testing.T) {
	got := draw("make <demo>", "one & two\n\n  \x1b[2mthree\x1b[0m\n")
	var text strings.Builder
	d := xml.NewDecoder(strings.NewReader(string(got)))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the picture is not XML: %v\n%s", err, got)
		}
		if chars, ok := token.(xml.CharData); ok {
			text.Write(chars)
		}
	}
	for _, want := range []string{"make <demo>", "one & two", "three"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the picture lacks %q:\n%s", want, got)
		}
	}
	if diff := cmp.Diff(string(got), string(draw("make <demo>", "one & two\n\n  \x1b[2mthree\x1b[0m\n"))); diff != "" {
		t.Errorf("the same output is drawn differently:\n%s", diff)
	}
}
