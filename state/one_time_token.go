package state

import (
	"encoding/hex"
	"errors"
	"iter"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/structs"
)

// OneTimeTokens returns all one-time tokens, ordered by the hashes of their secrets.
func (v view) OneTimeTokens(ws memdb.WatchSet) (iter.Seq[*structs.OneTimeToken], error) {
	return list[structs.OneTimeToken](v.read(), ws, TableOneTimeTokens, "")
}

// OneTimeTokenBySecretHash returns the one-time token whose secret has that SHA-256, nil when there is none.
func (v view) OneTimeTokenBySecretHash(ws memdb.WatchSet, hash []byte) (*structs.OneTimeToken, error) {
	return get[structs.OneTimeToken](v.read(), ws, TableOneTimeTokens, hex.EncodeToString(hash))
}

// UpsertOneTimeToken writes a one-time token (message type 44). The value passed in is not changed.
func (t *Txn) UpsertOneTimeToken(index uint64, token *structs.OneTimeToken) error {
	c := token.Copy()
	if c == nil || c.AccessorID == "" {
		return errors.New("write one-time token: it stands for no token")
	}
	c.HideSecret()
	if len(c.SecretHash) == 0 {
		return errors.New("write one-time token: it has no secret")
	}
	c.CreateIndex, c.ModifyIndex = index, index
	if err := t.insert(TableOneTimeTokens, c); err != nil {
		return err
	}
	return t.touch(index, TableOneTimeTokens)
}

// DeleteOneTimeTokens deletes those that stand for the given tokens (message type 45).
func (t *Txn) DeleteOneTimeTokens(index uint64, accessorIDs []string) error {
	of := make(map[string]bool, len(accessorIDs))
	for _, id := range accessorIDs {
		of[id] = true
	}
	return t.removeOneTimeTokens(index, func(o *structs.OneTimeToken) bool { return of[o.AccessorID] })
}

// ExpireOneTimeTokens deletes those that have ended at the given time (message type 46).
func (t *Txn) ExpireOneTimeTokens(index uint64, at time.Time) error {
	return t.removeOneTimeTokens(index, func(o *structs.OneTimeToken) bool { return !o.ExpiresAt.After(at) })
}

// removeOneTimeTokens looks at all of them: they are few, and live for minutes.
func (t *Txn) removeOneTimeTokens(index uint64, fits func(*structs.OneTimeToken) bool) error {
	all, err := list[structs.OneTimeToken](t.txn, nil, TableOneTimeTokens, "")
	if err != nil {
		return err
	}
	var rows []*structs.OneTimeToken
	for o := range all {
		if fits(o) {
			rows = append(rows, o)
		}
	}
	for _, o := range rows {
		if err := t.remove(TableOneTimeTokens, o); err != nil {
			return err
		}
	}
	return t.touchIf(len(rows) > 0, index, TableOneTimeTokens)
}

// OneTimeToken loads a one-time token.
func (r *Restore) OneTimeToken(token *structs.OneTimeToken) error {
	if token != nil {
		token.HideSecret()
	}
	if token == nil || len(token.SecretHash) == 0 {
		return errors.New("restore one-time token: record has no secret")
	}
	return r.t.insert(TableOneTimeTokens, token)
}
