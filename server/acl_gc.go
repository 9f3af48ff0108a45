package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rollcall-id/rollcall/structs"
)

// tokensPerCommand bounds how many tokens one command removes.
const tokensPerCommand = 4096

// collectTokens removes the ACL tokens and one-time tokens that have ended. They open nothing from then on, collected or
// not.
func (s *Server) collectTokens(context.Context) error {
	st, now := s.fsm.State(), s.cfg.Clock()
	region := structs.WriteRequest{Region: s.cfg.Region}
	for {
		ids, err := st.ExpiredACLTokens(now, tokensPerCommand)
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			break
		}
		if _, err := (applier{s}).Apply(structs.ACLTokenDeleteMsg, &structs.ACLTokenDeleteRequest{AccessorIDs: ids, WriteRequest: region}); err != nil {
			return fmt.Errorf("remove %d ACL tokens that have ended: %w", len(ids), err)
		}
		s.log.Info("removed ACL tokens that have ended", "tokens", len(ids))
	}
	oneTime, err := st.OneTimeTokens(nil)
	if err != nil {
		return err
	}
	for t := range oneTime {
		if t.ExpiresAt.After(now) {
			continue
		}
		req := &structs.OneTimeTokenExpireRequest{Timestamp: now.UTC(), WriteRequest: region}
		if _, err := (applier{s}).Apply(structs.OneTimeTokenExpireMsg, req); err != nil {
			return fmt.Errorf("remove one-time tokens that have ended: %w", err)
		}
		return nil
	}
	return nil
}

// resetFile is where an operator who has lost all management tokens puts the index of the last bootstrap (wire.md §5.5).
const resetFile = "acl-bootstrap-reset"

// maxResetFile bounds the file, in bytes: it holds a number.
const maxResetFile = 64

// bootstrapReset returns the index in the reset file of this server, 0 without one.
func (s *Server) bootstrapReset() (uint64, error) {
	if s.cfg.DataDir == "" {
		return 0, nil
	}
	f, err := os.Open(filepath.Join(s.cfg.DataDir, resetFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxResetFile))
	if err != nil {
		return 0, err
	}
	index, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s holds no index; write the number that the refused bootstrap has told into it", f.Name())
	}
	return index, nil
}
