package state

import (
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/structs"
)

// tokenExpiry sorts tokens by when they end; those that don't are not in the index. The seconds are moved so that
// those before 1970 sort first, too.
func tokenExpiry(t *structs.ACLToken) string {
	if t.ExpirationTime == nil || t.ExpirationTime.IsZero() {
		return ""
	}
	return fmt.Sprintf("%016x", uint64(t.ExpirationTime.Unix())^1<<63)
}

// ACLTokens returns the tokens whose accessor IDs begin with prefix, ordered by accessor ID. It watches the table.
func (v view) ACLTokens(ws memdb.WatchSet, prefix string) (iter.Seq[*structs.ACLToken], error) {
	return list[structs.ACLToken](v.read(), ws, TableACLTokens, prefix)
}

// ACLTokenByAccessorID returns the token, nil when there is none. It watches that token alone.
func (v view) ACLTokenByAccessorID(ws memdb.WatchSet, id string) (*structs.ACLToken, error) {
	return get[structs.ACLToken](v.read(), ws, TableACLTokens, id)
}

// ACLTokenBySecretHash returns the token whose secret ID has that SHA-256, nil when there is none.
func (v view) ACLTokenBySecretHash(ws memdb.WatchSet, hash []byte) (*structs.ACLToken, error) {
	if len(hash) == 0 {
		return nil, nil
	}
	return first[structs.ACLToken](v.read(), ws, TableACLTokens, bySecret, hex.EncodeToString(hash))
}

// ExpiredACLTokens returns the accessor IDs of at most limit tokens that have ended at now, the earliest first.
func (v view) ExpiredACLTokens(now time.Time, limit int) ([]string, error) {
	it, err := v.read().LowerBound(TableACLTokens, byExpiry, "")
	if err != nil {
		return nil, fmt.Errorf("read table %s: %w", TableACLTokens, err)
	}
	var ids []string
	for raw := it.Next(); raw != nil && len(ids) < limit; raw = it.Next() {
		t := raw.(*structs.ACLToken)
		if t.ExpirationTime.Unix() > now.Unix() {
			break
		}
		if t.Expired(now) {
			ids = append(ids, t.AccessorID)
		}
	}
	return ids, nil
}

// first returns the row that an index finds first, or nil.
func first[T any](txn *memdb.Txn, ws memdb.WatchSet, table, index, key string) (*T, error) {
	ch, raw, err := txn.FirstWatch(table, index, key)
	if err != nil {
		return nil, fmt.Errorf("read table %s: %w", table, err)
	}
	ws.Add(ch)
	row, _ := raw.(*T)
	return row, nil
}

// touchIf is touch for a command that has done something.
func (t *Txn) touchIf(did bool, index uint64, tables ...string) error {
	if !did {
		return nil
	}
	return t.touch(index, tables...)
}

// UpsertACLTokens creates or replaces all of the tokens, or none (message type 21). A token that exists keeps its
// secret, and when it was made and ends. The values passed in are not changed.
func (t *Txn) UpsertACLTokens(index uint64, tokens []*structs.ACLToken) error {
	for _, token := range tokens {
		if token == nil || token.AccessorID == "" {
			return errors.New("write ACL tokens: a token is missing or has no accessor ID")
		}
	}
	for _, token := range tokens {
		if err := t.putACLToken(index, token); err != nil {
			return err
		}
	}
	return t.touchIf(len(tokens) > 0, index, TableACLTokens)
}

func (t *Txn) putACLToken(index uint64, token *structs.ACLToken) error {
	old, err := get[structs.ACLToken](t.txn, nil, TableACLTokens, token.AccessorID)
	if err != nil {
		return err
	}
	c := token.Copy()
	c.HideSecret()
	c.SetHash()
	c.CreateIndex, c.ModifyIndex = index, index
	if old != nil {
		c.CreateIndex, c.CreateTime, c.SecretHash = old.CreateIndex, old.CreateTime, old.SecretHash
		c.ExpirationTime, c.ExpirationTTL = old.ExpirationTime, old.ExpirationTTL
	}
	if err := t.insert(TableACLTokens, c); err != nil {
		return err
	}
	t.emitACLToken(index, structs.EventACLTokenUpserted, c)
	return nil
}

// DeleteACLTokens deletes the tokens (message type 22). One that is not there is passed over: it may have ended
// meanwhile.
func (t *Txn) DeleteACLTokens(index uint64, accessorIDs []string) error {
	for _, id := range accessorIDs {
		token, err := get[structs.ACLToken](t.txn, nil, TableACLTokens, id)
		if err != nil {
			return err
		}
		if token == nil {
			continue
		}
		if err := t.remove(TableACLTokens, token); err != nil {
			return err
		}
		t.emitACLToken(index, structs.EventACLTokenDeleted, token)
	}
	return t.touchIf(len(accessorIDs) > 0, index, TableACLTokens)
}

// BootstrapACLToken writes the first management token (message type 23). It does so once, and again for each time that
// resetIndex is the index of the last.
func (t *Txn) BootstrapACLToken(index, resetIndex uint64, token *structs.ACLToken) error {
	if token == nil || token.AccessorID == "" {
		return errors.New("bootstrap ACLs: the token is missing or has no accessor ID")
	}
	done, err := t.index(TableACLBootstrap)
	switch {
	case err != nil:
		return err
	case done != 0 && resetIndex == 0:
		return structs.Coded(http.StatusBadRequest, "ACL bootstrap already done (reset index: %d)", done)
	case done != 0 && resetIndex != done:
		return structs.Coded(http.StatusBadRequest, "Invalid bootstrap reset index (specified %d, reset index: %d)", resetIndex, done)
	}
	if err := t.putACLToken(index, token); err != nil {
		return err
	}
	return t.touch(index, TableACLTokens, TableACLBootstrap)
}

// ACLToken loads a token, with its secret as a hash.
func (r *Restore) ACLToken(token *structs.ACLToken) error {
	if token == nil || token.AccessorID == "" {
		return errors.New("restore ACL token: record has no accessor ID")
	}
	if token.SecretID != "" {
		r.report.SecretsConverted++
	}
	token.HideSecret()
	return r.t.insert(TableACLTokens, token)
}
