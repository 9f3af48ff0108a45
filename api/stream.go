package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// openStream is the body of an answer that goes on until somebody ends it. It is for one goroutine, but for Close.
type openStream struct {
	ctx     context.Context
	end     context.CancelCauseFunc
	body    io.ReadCloser
	stall   *time.Timer // ends ctx unless it is stopped
	silence time.Duration
}

// stream opens an answer in which the server is never silent for longer than silence; 0 means that it may be.
func (c *Client) stream(ctx context.Context, path string, params url.Values, silence time.Duration) (*openStream, error) {
	ctx, end := context.WithCancelCause(ctx)
	s := &openStream{ctx: ctx, end: end, silence: silence}
	s.stall = time.AfterFunc(c.cfg.Timeout, func() { end(fmt.Errorf("nothing came from %s in time", c.cfg.Address)) })
	defer s.stall.Stop()
	req, err := c.request(ctx, http.MethodGet, path, params, nil)
	if err != nil {
		end(nil)
		return nil, err
	}
	res, err := c.send(req)
	if err != nil {
		end(nil)
		return nil, err
	}
	s.body = res.Body
	return s, nil
}

// Read returns why the stream was ended from this side, if it was.
func (s *openStream) Read(p []byte) (int, error) {
	if s.silence > 0 {
		s.stall.Reset(s.silence)
	}
	n, err := s.body.Read(p)
	s.stall.Stop() // what the caller does with it may take longer
	if err != nil {
		if cause := context.Cause(s.ctx); cause != nil {
			err = cause
		}
	}
	return n, err
}

// Close ends the stream.
func (s *openStream) Close() error {
	s.stall.Stop()
	s.end(nil)
	return s.body.Close()
}
