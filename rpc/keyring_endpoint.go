package rpc

import (
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/structs"
)

func (s *Server) registerKeyringMethods() {
	handle(s, Spec{Name: "Keyring.List", Blocking: true}, s.keyringList)
	handle(s, Spec{Name: "Keyring.Rotate"}, s.keyringRotate)
	handle(s, Spec{Name: "Keyring.Delete"}, s.keyringDelete)
	handle(s, Spec{Name: "Keyring.ListPublic", Blocking: true}, s.keyringListPublic)
	handle(s, Spec{Name: "Keyring.GetConfig", Route: RouteRegion}, s.keyringGetConfig)
}

// readKeys watches the root keys.
func (c *Call) readKeys(q *structs.QueryOptions, meta *structs.QueryMeta, each func(*structs.RootKey)) error {
	return c.read(q, meta, func(ws memdb.WatchSet, st State) (uint64, error) {
		keys, err := st.RootKeys(ws)
		if err != nil {
			return 0, fmt.Errorf("list root keys: %w", err)
		}
		each(nil)
		for k := range keys {
			each(k)
		}
		return tableIndex(st, "root_keys")
	})
}

func (s *Server) keyringList(c *Call, req *structs.GenericRequest, reply *structs.KeyringListResponse) error {
	return c.readKeys(&req.QueryOptions, &reply.QueryMeta, func(k *structs.RootKey) {
		if k == nil {
			reply.Keys = []*structs.RootKeyMeta{}
			return
		}
		reply.Keys = append(reply.Keys, k.Meta())
	})
}

// keyringListPublic lists the verification keys. They come from the keyring, which has unwrapped them; the
// table is read for its index, so that callers can wait for changes. A key may stand in the table before it is
// unwrapped: who waits for changes is given it a moment later, and who does not gets an index at which the change
// is still to come. A key that can't be unwrapped holds nobody up for longer.
func (s *Server) keyringListPublic(c *Call, req *structs.GenericRequest, reply *structs.KeyringListPublicResponse) error {
	published := make(map[string]uint64) // index of each key that is to be published
	err := c.readKeys(&req.QueryOptions, &reply.QueryMeta, func(k *structs.RootKey) {
		switch {
		case k == nil:
			clear(published)
		case k.State != structs.KeyStateDeprecated:
			published[k.KeyID] = k.CreateIndex
		}
	})
	if err != nil {
		return err
	}
	reply.RotationThreshold = s.cfg.RotationThreshold
	for waited := time.Duration(0); ; waited += keyLoadPoll {
		reply.PublicKeys = s.deps.Keyring.Public()
		missing := firstMissing(published, reply.PublicKeys)
		switch {
		case missing == 0 || waited >= keyLoadWait:
			return nil
		case req.MinQueryIndex == 0:
			reply.QueryMeta.Index = max(min(reply.QueryMeta.Index, missing-1), 1)
			return nil
		}
		if err := sleep(c.ctx, keyLoadPoll); err != nil {
			return err
		}
	}
}

// How long a caller who waits for keys is held for those that are being unwrapped, and how often they are looked for.
const (
	keyLoadWait = time.Second
	keyLoadPoll = 20 * time.Millisecond
)

// firstMissing is the lowest index of a key that is not among the loaded ones, 0 if all are.
func firstMissing(published map[string]uint64, loaded []*structs.PublicKey) uint64 {
	for _, k := range loaded {
		delete(published, k.KeyID)
	}
	var first uint64
	for _, index := range published {
		if first == 0 || index < first {
			first = index
		}
	}
	return first
}

func (s *Server) keyringGetConfig(c *Call, _ *structs.GenericRequest, reply *structs.KeyringGetConfigResponse) error {
	c.setContact(&reply.QueryMeta)
	if s.cfg.Issuer == "" {
		return nil
	}
	reply.OIDCDiscovery = s.deps.Keyring.Discovery()
	return nil
}

// keyringRotate makes a new key active, or publishes one ahead of its use.
func (s *Server) keyringRotate(c *Call, req *structs.KeyringRotateRequest, reply *structs.KeyringRotateResponse) error {
	if req.Algorithm != "" && req.Algorithm != structs.EncryptionAlgorithmAES256GCM {
		return structs.Coded(http.StatusBadRequest, "root key algorithm %q is not supported; want %q", req.Algorithm, structs.EncryptionAlgorithmAES256GCM)
	}
	state := structs.KeyStateActive
	if req.PublishTime != 0 {
		if req.Full {
			return structs.Coded(http.StatusBadRequest, "a full rotation can't be published ahead of time")
		}
		if req.PublishTime < c.now.UnixNano() {
			return structs.Coded(http.StatusBadRequest, "publish time %s is in the past", time.Unix(0, req.PublishTime).UTC().Format(time.RFC3339))
		}
		state = structs.KeyStatePrepublished
	}
	if err := s.deps.Leader.VerifyLease(c.ctx); err != nil {
		return err
	}
	key, err := s.deps.Keyring.NewRootKey(state, c.now, req.PublishTime)
	if err != nil {
		return fmt.Errorf("make root key: %w", err)
	}
	applied, err := s.deps.Raft.Apply(structs.RootKeyUpsertMsg, &structs.RootKeyUpsertRequest{WrappedRootKeys: key, Rekey: req.Full})
	if err != nil {
		return fmt.Errorf("store root key %s: %w", key.KeyID, err)
	}
	s.log.Info("root key made", "key_id", key.KeyID, "state", state)
	meta := key.Meta()
	meta.CreateIndex, meta.ModifyIndex = applied.Index, applied.Index
	reply.Key, reply.Index = meta, applied.Index
	return nil
}

// keyringDelete removes a key that nothing uses. Force lifts the check for what the key encrypts, never the one
// for identities: a node that holds one could not show who it is any more.
func (s *Server) keyringDelete(c *Call, req *structs.KeyringDeleteRequest, reply *structs.GenericResponse) error {
	if req.KeyID == "" {
		return structs.Coded(http.StatusBadRequest, "missing key ID")
	}
	if err := s.deps.Leader.VerifyLease(c.ctx); err != nil {
		return err
	}
	key, err := c.state().RootKeyByID(nil, req.KeyID)
	switch {
	case err != nil:
		return fmt.Errorf("look up root key %s: %w", req.KeyID, err)
	case key == nil:
		return structs.Coded(http.StatusNotFound, "%w", structs.ErrRootKeyNotFound)
	case key.IsActive():
		return structs.Coded(http.StatusBadRequest, "%w", structs.ErrRootKeyActive)
	}
	req.At = c.now.Unix()
	applied, err := s.deps.Raft.Apply(structs.RootKeyDeleteMsg, req)
	if err != nil {
		return err // which names the key or the command
	}
	s.log.Info("root key deleted", "key_id", req.KeyID, "force", req.Force)
	reply.Index = applied.Index
	return nil
}
