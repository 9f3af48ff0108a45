package api

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/rollcall-id/rollcall/structs"
)

// StatusError is an answer that refuses the request. errors.Is finds the sentinel of structs that its text contains.
type StatusError struct {
	Code int
	Body string // one line of text, at most 16 KiB
}

var _ error = (*StatusError)(nil)

func (e *StatusError) Error() string {
	if e.Body == "" {
		return fmt.Sprintf("server answered %d %s", e.Code, http.StatusText(e.Code))
	}
	return fmt.Sprintf("server answered %d: %s", e.Code, e.Body)
}

// Unwrap returns the sentinel, nil if there is none.
func (e *StatusError) Unwrap() error { return errors.Unwrap(structs.ErrorFromWire(e.Body)) }
