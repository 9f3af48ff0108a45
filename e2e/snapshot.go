package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// sameStateTime is how long servers may take to come to the same state when nothing more is written.
const sameStateTime = 60 * time.Second

const snapshotPath = "/v1/operator/snapshot"

// SaveSnapshot asks a server for an archive, as a program does that knows nothing of Rollcall, and checks the digest that comes
// with it. With stale it is of that server's state, otherwise of the leader's.
func (s *Server) SaveSnapshot(ctx context.Context, stale bool) ([]byte, error) {
	url := s.HTTP + snapshotPath
	if stale {
		url += "?stale=true"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	s.cluster.authorize(req)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	archive, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", url, err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s: %s", url, res.Status, archive)
	}
	sum := sha256.Sum256(archive)
	if got, want := res.Header.Get("Digest"), "sha-256="+base64.StdEncoding.EncodeToString(sum[:]); got != want {
		return nil, fmt.Errorf("GET %s: digest %q came with %d bytes that have %q", url, got, len(archive), want)
	}
	return archive, nil
}

// RestoreSnapshot sends an archive to a server and returns the status and the text of its answer. An error says that there was
// no answer.
func (s *Server) RestoreSnapshot(ctx context.Context, archive []byte) (status int, text string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, s.HTTP+snapshotPath, bytes.NewReader(archive))
	if err != nil {
		return 0, "", err
	}
	s.cluster.authorize(req)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return 0, "", fmt.Errorf("read answer of %s: %w", s.Name, err)
	}
	return res.StatusCode, strings.TrimSpace(string(body)), nil
}

// StateDigest is the digest of the server's own state.
func (s *Server) StateDigest(ctx context.Context) (d structs.StateDigest, err error) {
	err = s.GetJSON(ctx, "/v1/operator/digest?stale=true", &d)
	return d, err
}

// Wipe removes the data directory of a server that does not run.
func (s *Server) Wipe() error {
	if s.Process != nil && s.Running() {
		return fmt.Errorf("wipe %s: it runs", s.Name)
	}
	return os.RemoveAll(s.Dir)
}

// WaitSameState waits until all running servers have the same state, and returns its digest. With index they must say the same
// index too, which those that have been restarted since the last command may not.
func (c *Cluster) WaitSameState(ctx context.Context, index bool) (structs.StateDigest, error) {
	var same structs.StateDigest
	err := Eventually(ctx, "come to the same state", sameStateTime, func(ctx context.Context) error {
		var seen []string
		equal := true
		for _, s := range c.Running() {
			d, err := s.StateDigest(ctx)
			if err != nil {
				return fmt.Errorf("ask %s for its digest: %w", s.Name, err)
			}
			equal = equal && (len(seen) == 0 || d.Digest == same.Digest && (!index || d.Index == same.Index))
			same = d
			seen = append(seen, fmt.Sprintf("%s %s at index %d", s.Name, d.Digest, d.Index))
		}
		switch {
		case len(seen) == 0:
			return Final(errors.New("no server runs"))
		case !equal:
			return fmt.Errorf("they differ: %s", strings.Join(seen, ", "))
		}
		return nil
	})
	return same, err
}
