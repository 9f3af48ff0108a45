package httpapi

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

const (
	jsonType = "application/json"
	textType = "text/plain; charset=utf-8"
	// minGzip is the shortest body that is worth compressing: what fits one packet arrives no sooner.
	minGzip = 1400
)

// reply is an answer with a status of its own; a nil value means an empty body.
type reply struct {
	code  int
	value any
}

// list makes sure that a list is written as an array even when it is empty.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

// writeValue writes a handler's answer and returns the status.
func (c *call) writeValue(v any) int {
	code := http.StatusOK
	switch t := v.(type) {
	case http.Handler:
		c.startWriting()
		t.ServeHTTP(c.w, c.r)
		return code
	case *reply:
		code, v = t.code, t.value
	}
	if v == nil {
		c.startWriting()
		c.w.WriteHeader(code)
		return code
	}
	body, err := encodeJSON(v, c.pretty())
	if err != nil {
		return c.writeError(fmt.Errorf("encode reply: %w", err))
	}
	c.write(code, jsonType, body)
	return code
}

func (c *call) pretty() bool { return c.query.Has("pretty") && c.query.Get("pretty") != "0" }

func encodeJSON(v any, pretty bool) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if pretty {
		enc.SetIndent("", "    ")
	}
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	if pretty {
		return buf.Bytes(), nil
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// clientGone is the status of a request whose client did not wait for the answer.
const clientGone = 499

// writeError answers with an error and returns the status.
func (c *call) writeError(err error) int {
	var own *statusError
	code, message := 0, ""
	switch {
	case errors.As(err, &own):
		code, message = own.code, own.message
	case c.r.Context().Err() != nil:
		// The client is gone, or has sent half a body and may still read: silence would be taken for success.
		c.w.WriteHeader(clientGone)
		return clientGone
	default:
		code, message = structs.HTTPStatus(err)
	}
	if code < 400 { // an error is never a success, whatever code it brought along
		code = http.StatusInternalServerError
	}
	if code == http.StatusInternalServerError {
		c.log.Warn("request failed", "method", c.r.Method, "path", loggedPath(c.r.URL.Path, code), "status", code, "error", message)
	}
	h := c.w.Header()
	if code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable {
		pause := cmp.Or(structs.RetryAfter(err), c.cfg.RetryAfter)
		h.Set("Retry-After", strconv.Itoa(int((pause+time.Second-1)/time.Second)))
	}
	h.Del("Cache-Control")
	h.Set("X-Content-Type-Options", "nosniff")
	c.write(code, textType, []byte(message))
	return code
}

// write sends a body, compressed if the client can read that and it is worth it.
func (c *call) write(code int, contentType string, body []byte) {
	h := c.w.Header()
	h.Set("Content-Type", contentType)
	h.Add("Vary", "Accept-Encoding")
	if len(body) >= minGzip && acceptsGzip(c.r.Header.Values("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		body = compress(body)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.startWriting()
	c.w.WriteHeader(code)
	if _, err := c.w.Write(body); err != nil {
		c.log.Debug("reply not delivered", "path", c.r.URL.Path, "error", err)
	}
}

// startWriting bounds how long the client may take to receive the reply.
func (c *call) startWriting() {
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(writeTimeout))
}

var gzipWriters = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is a valid one
	return w
}}

func compress(body []byte) []byte {
	var buf bytes.Buffer
	zw := gzipWriters.Get().(*gzip.Writer)
	zw.Reset(&buf)
	_, _ = zw.Write(body) // writing to memory can't fail
	_ = zw.Close()
	gzipWriters.Put(zw)
	return buf.Bytes()
}

// acceptsGzip reports whether the client listed gzip, or everything, without refusing it by a weight of 0.
func acceptsGzip(values []string) bool {
	for _, v := range values {
		for _, item := range strings.Split(v, ",") {
			name, params, _ := strings.Cut(item, ";")
			if name = strings.TrimSpace(name); !strings.EqualFold(name, "gzip") && name != "*" {
				continue
			}
			q, given := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
			if weight, err := strconv.ParseFloat(q, 64); !given || err != nil || weight > 0 {
				return true
			}
		}
	}
	return false
}
