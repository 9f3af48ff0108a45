package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
	"time"
)

const snapshotPath = "/v1/operator/snapshot"

// snapshotWait is how long a server may take over writing a snapshot before it sends the first byte, and over a restore
// after it has got the last; half a million nodes take less than a minute.
const snapshotWait = 15 * time.Minute

// ErrSnapshotIncomplete is how a snapshot ends that is not the one that the server announced. Throw away what was read
// and save again.
var ErrSnapshotIncomplete = errors.New("the snapshot did not arrive as the server sent it")

// Snapshot is an archive on its way from a server. Close it.
type Snapshot struct {
	Digest string // "sha-256=<base64>" of the archive
	Meta   QueryMeta

	body   io.ReadCloser
	end    func(error) // of the call
	ctx    context.Context
	stall  *time.Timer
	stalls time.Duration
	want   []byte
	sum    hash.Hash
	n      int64
}

// SaveSnapshot asks for an archive of the cluster's state, the leader's or with AllowStale that of the server asked. It
// returns when the archive begins to arrive.
func (c *Client) SaveSnapshot(ctx context.Context, q *QueryOptions) (*Snapshot, error) {
	ctx, end := context.WithCancelCause(ctx)
	s := &Snapshot{ctx: ctx, end: end, stalls: c.cfg.Timeout, sum: sha256.New()}
	s.stall = time.AfterFunc(snapshotWait, func() { end(fmt.Errorf("no answer from %s in time", c.cfg.Address)) })
	if err := s.start(c, q); err != nil {
		s.stall.Stop()
		end(nil)
		return nil, err
	}
	return s, nil
}

func (s *Snapshot) start(c *Client, q *QueryOptions) error {
	req, err := c.request(s.ctx, http.MethodGet, snapshotPath, c.queryParams(q), nil)
	if err != nil {
		return err
	}
	res, err := c.send(req)
	if err != nil {
		return err
	}
	s.Digest, s.body, s.Meta = res.Header.Get("Digest"), res.Body, queryMeta(res.Header)
	coded, ok := strings.CutPrefix(s.Digest, "sha-256=")
	if s.want, err = base64.StdEncoding.DecodeString(coded); !ok || err != nil || len(s.want) != sha256.Size {
		_ = res.Body.Close() // nothing of it is used
		return fmt.Errorf("%w: its digest is %q, which is not one", ErrSnapshotIncomplete, s.Digest)
	}
	return nil
}

// Read returns io.EOF only if the whole archive has been read and has the digest; otherwise it ends with an error that
// wraps ErrSnapshotIncomplete, or with why ctx was done.
func (s *Snapshot) Read(p []byte) (int, error) {
	s.stall.Reset(s.stalls)
	n, err := s.body.Read(p)
	s.stall.Stop() // what the caller does with it may take longer
	s.n += int64(n)
	_, _ = s.sum.Write(p[:n]) // a hash can't fail
	switch {
	case err == nil:
	case !errors.Is(err, io.EOF):
		if cause := context.Cause(s.ctx); cause != nil {
			return n, fmt.Errorf("read snapshot after %d bytes: %w", s.n, cause)
		}
		return n, fmt.Errorf("%w: it breaks off after %d bytes: %w", ErrSnapshotIncomplete, s.n, err)
	case subtle.ConstantTimeCompare(s.sum.Sum(nil), s.want) != 1:
		return n, fmt.Errorf("%w: its %d bytes have another digest", ErrSnapshotIncomplete, s.n)
	}
	return n, err
}

// Close ends the call, whether everything has been read or not.
func (s *Snapshot) Close() error {
	s.stall.Stop()
	s.end(nil)
	return s.body.Close()
}

// RestoreSnapshot makes an archive the state of the whole cluster, and returns when the leader has it. size is the
// archive's in bytes, -1 if that is not known. After an error the cluster has either its old state or the new one; if the
// archive was not sent to its end, the old one.
func (c *Client) RestoreSnapshot(ctx context.Context, w *WriteOptions, archive io.Reader, size int64) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	stall := time.AfterFunc(snapshotWait, func() { end(fmt.Errorf("no answer from %s in time", c.cfg.Address)) })
	defer stall.Stop()
	req, err := c.request(ctx, http.MethodPut, snapshotPath, c.writeParams(w),
		touching{archive, func() { stall.Reset(snapshotWait) }})
	if err != nil {
		return err
	}
	req.ContentLength = size
	req.Header.Set("Content-Type", "application/x-gzip")
	res, err := c.send(req)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// touching calls touch before every Read.
type touching struct {
	io.Reader
	touch func()
}

func (t touching) Read(p []byte) (int, error) {
	t.touch()
	return t.Reader.Read(p)
}
