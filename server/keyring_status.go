package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/serf/serf"

	"github.com/rollcall-id/rollcall/structs"
)

const (
	// peerStatusLimit is how long another server may take to try all copies of all keys.
	peerStatusLimit = 10 * time.Second
	// peerCheckLimit is the same where something waits for it that goes on without an answer.
	peerCheckLimit = 3 * time.Second
)

// KeyringStatus is what this server can do with the root keys.
func (s *Server) KeyringStatus(ctx context.Context) *structs.KeyringServerStatus {
	return &structs.KeyringServerStatus{
		ID: s.id, Name: s.cfg.NodeName + "." + s.cfg.Region, Address: s.cfg.RPCAdvertise,
		Providers: s.keyring.Providers(), Keys: s.keyring.Status(ctx),
	}
}

// KeyringStatuses asks every server of the region what it can do with the root keys: those of Raft, and those alive in
// the gossip pool that are to join it. One that does not answer is listed with the reason. They are sorted by name.
func (s *Server) KeyringStatuses(ctx context.Context) ([]*structs.KeyringServerStatus, error) {
	conf, err := s.RaftConfiguration()
	if err != nil {
		return nil, fmt.Errorf("read Raft configuration: %w", err)
	}
	var out []*structs.KeyringServerStatus
	known := map[string]bool{}
	for _, srv := range conf.Servers {
		known[srv.ID] = true
		out = append(out, &structs.KeyringServerStatus{ID: srv.ID, Name: srv.Node, Address: srv.Address})
	}
	for _, p := range s.gossip.current.Load().peers {
		if !known[p.ID] && p.Status == serf.StatusAlive {
			out = append(out, &structs.KeyringServerStatus{ID: p.ID, Name: p.Name, Address: p.Addr})
		}
	}
	var wg sync.WaitGroup
	for _, server := range out {
		wg.Go(func() { s.askKeyringStatus(ctx, server) })
	}
	wg.Wait()
	slices.SortFunc(out, func(a, b *structs.KeyringServerStatus) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return out, nil
}

// askKeyringStatus fills in what the server says of itself, or why it says nothing.
func (s *Server) askKeyringStatus(ctx context.Context, server *structs.KeyringServerStatus) {
	if server.ID == s.id {
		*server = *s.KeyringStatus(ctx)
		return
	}
	req := &structs.GenericRequest{QueryOptions: structs.QueryOptions{Region: s.cfg.Region}}
	var reply structs.KeyringServerStatusResponse
	err := s.pool.Call(ctx, server.Address, "Keyring.ServerStatus", req, &reply)
	switch {
	case err != nil:
		server.Error = err.Error()
	case reply.Server == nil || reply.Server.ID != server.ID:
		server.Error = "another server answers at its address"
	default:
		address := server.Address
		*server = *reply.Server
		server.Address = address
	}
}

// checkPeers refuses to wrap a new key if another server says that it could not read it: one server whose configuration
// differs must not make a key that locks the others out. Servers that don't answer hold nothing up.
func (s *Server) checkPeers(ctx context.Context) error {
	var mine *structs.KeyringProvider
	for _, p := range s.keyring.Providers() {
		if p.Active {
			mine = p
		}
	}
	if mine == nil || mine.Clear {
		return nil // every server can read what it wraps
	}
	ctx, cancel := context.WithTimeout(ctx, peerCheckLimit)
	defer cancel()
	servers, err := s.KeyringStatuses(ctx)
	if err != nil {
		return err
	}
	var problems []string
	for _, server := range servers {
		if server.Error != "" || server.ID == s.id {
			continue
		}
		i := slices.IndexFunc(server.Providers, func(p *structs.KeyringProvider) bool { return p.ID == mine.ID })
		switch {
		case i < 0:
			problems = append(problems, fmt.Sprintf("server %s has no keyring provider %s", server.Name, mine.ID))
		case server.Providers[i].Check != mine.Check:
			problems = append(problems, fmt.Sprintf("server %s has another key-encryption key for keyring provider %s", server.Name, mine.ID))
		}
	}
	if len(problems) > 0 {
		return fmt.Errorf("no root key made that not every server could read: %s; configure the keyring blocks alike on all servers", strings.Join(problems, "; "))
	}
	return nil
}

var errHandedOver = errors.New("leadership was handed to a server that can open the active root key; this one can't: compare their keyring blocks")

// yieldTo hands leadership to a server that has loaded the key, if one says so: a leader that can't must not replace a key
// that is good. It returns nil if there is none.
func (s *Server) yieldTo(ctx context.Context, keyID string) error {
	ctx, cancel := context.WithTimeout(ctx, peerCheckLimit)
	defer cancel()
	servers, err := s.KeyringStatuses(ctx)
	if err != nil {
		return err
	}
	for _, server := range servers {
		loaded := slices.ContainsFunc(server.Keys, func(k *structs.RootKeyStatus) bool { return k.KeyID == keyID && k.Loaded })
		if server.ID == s.id || !loaded {
			continue
		}
		s.log.Error("this server can't open the active root key and another can: handing over leadership", "key_id", keyID, "to", server.Name)
		if _, err := s.TransferLeadership(server.ID, ""); err != nil {
			return fmt.Errorf("root key %s can't be opened here, and server %s, which can, did not take over: %w", keyID, server.Name, err)
		}
		return errHandedOver
	}
	return nil
}
