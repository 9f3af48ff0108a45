package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/rollcall-id/rollcall/internal/quota"
	"github.com/rollcall-id/rollcall/structs"
)

// maxBody bounds a request body in bytes; the largest real one, a node pool with much metadata, has a few kilobytes.
const maxBody = 1 << 20

// decodeCost is how often a body's bytes are counted: once for itself, the rest for what decoding makes of it.
const decodeCost = 4

// body reads the request's body within the limits of size, time and what its client may hold.
func (c *call) body() ([]byte, error) {
	if c.r.ContentLength > int64(c.cfg.MaxBodyBytes) { // before the first byte: it may be sent slowly
		c.w.Header().Set("Connection", "close")
		return nil, c.bodyTooLarge()
	}
	b, err := io.ReadAll(&countedBody{call: c, in: http.MaxBytesReader(c.w, c.r.Body, int64(c.cfg.MaxBodyBytes))})
	if err != nil {
		var tooLarge *http.MaxBytesError
		var own *statusError
		switch {
		case errors.As(err, &tooLarge):
			return nil, c.bodyTooLarge()
		case errors.As(err, &own):
			return nil, own
		case errors.Is(err, os.ErrDeadlineExceeded):
			countRefusal("http_timeouts")
			return nil, fail(http.StatusRequestTimeout, "Request body did not arrive within %s", c.cfg.BodyTimeout)
		}
		return nil, badRequest("Request body could not be read")
	}
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Time{}) // what follows may wait for minutes
	return b, nil
}

func (c *call) bodyTooLarge() error {
	countRefusal("http_bodies_refused")
	return fail(http.StatusRequestEntityTooLarge, "Request body is larger than %d bytes", c.cfg.MaxBodyBytes)
}

// countedBody counts a body's bytes as they arrive.
type countedBody struct {
	*call
	in io.Reader
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.in.Read(p)
	if !b.share.Take(quota.Bytes, decodeCost*n) {
		return 0, b.overloaded("too many bytes of unfinished requests from this address")
	}
	b.held += decodeCost * n
	return n, err
}

// decode reads the request's body into the pointer out.
func (c *call) decode(out any) error {
	b, err := c.body()
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return badRequest("Request body is empty; want a JSON object")
	}
	if err := decodeJSON(b, out); err != nil {
		return badRequest("Request body is not understood: %s", err)
	}
	return nil
}

// decodeOptional is decode for requests that may come without a body.
func (c *call) decodeOptional(out any) error {
	b, err := c.body()
	if err != nil || len(bytes.TrimSpace(b)) == 0 {
		return err
	}
	if err := decodeJSON(b, out); err != nil {
		return badRequest("Request body is not understood: %s", err)
	}
	return nil
}

// decodeJSON reads exactly one JSON object. Keys that out has no field for are skipped, as newer clients send more.
func decodeJSON(b []byte, out any) error {
	if t := bytes.TrimSpace(b); len(t) == 0 || t[0] != '{' {
		return errors.New("want a JSON object")
	}
	if err := checkDepth(b); err != nil {
		return err
	}
	err := json.Unmarshal(b, out)
	var wrongType *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return fmt.Errorf("%s can't be a JSON %s", wrongType.Field, wrongType.Value)
	case errors.As(err, &syntax):
		return fmt.Errorf("%s at byte %d", syntax, syntax.Offset)
	}
	return err
}

// maxValues is how many values a body may hold; a node pool with as much metadata as anyone has has some hundreds.
const maxValues = 32 << 10

// checkDepth refuses objects and arrays nested deeper, and bodies of more values, than anything here is, before anything
// is allocated for them.
func checkDepth(b []byte) error {
	depth, quoted, values := 0, false, 0
	for i := 0; i < len(b); i++ {
		switch ch := b[i]; {
		case quoted && ch == '\\':
			i++
		case ch == '"':
			quoted = !quoted
		case quoted:
		case ch == '{' || ch == '[':
			if depth++; depth > structs.DefaultMaxDepth {
				return fmt.Errorf("nested deeper than %d levels", structs.DefaultMaxDepth)
			}
		case ch == '}' || ch == ']':
			depth--
		case ch == ',' || ch == ':':
			if values++; values > maxValues {
				return fmt.Errorf("more than %d values", maxValues)
			}
		}
	}
	return nil
}

// duration is a length of time given as a string ("12h") or as integer nanoseconds.
type duration time.Duration

func (d *duration) UnmarshalJSON(b []byte) error {
	v, err := structs.ParseJSONDuration(b)
	*d = duration(v)
	return err
}
