package main

import (
	"fmt"
	"slices"

	"github.com/rollcall-id/rollcall/structs"
)

// custodyProgress says how many root keys are where a move to the active provider leaves them: wrapped by it alone, as every
// server has and reads them. Which version of its key a service has used is not told by servers, only by rewrap.
func custodyProgress(servers []*structs.KeyringServerStatus) string {
	var active *structs.KeyringProvider
	moved := map[string]bool{} // by key ID
	for _, s := range servers {
		for _, p := range s.Providers {
			switch {
			case !p.Active:
			case active == nil:
				active = p
			case active.ID != p.ID || active.Clear != p.Clear || active.Check != p.Check:
				return "The active providers of the servers differ: give all servers the same keyring blocks before keys are moved."
			}
		}
		for _, k := range s.Keys {
			moved[k.KeyID] = true
		}
	}
	if active == nil || len(moved) == 0 {
		return "No server tells of root keys."
	}
	count := 0
	for id := range moved {
		if !slices.ContainsFunc(servers, func(s *structs.KeyringServerStatus) bool { return !wrappedAlone(s, id, active) }) {
			count++
		}
	}
	by := active.ID
	if active.Clear {
		by += " (key beside it)"
	}
	return fmt.Sprintf("%d of %d root keys (%d %%) are wrapped by %s alone and readable on every server.", count, len(moved), count*100/len(moved), by)
}

// wrappedAlone reports whether the server has the key with one copy, by the provider, and reads it.
func wrappedAlone(s *structs.KeyringServerStatus, keyID string, by *structs.KeyringProvider) bool {
	i := slices.IndexFunc(s.Keys, func(k *structs.RootKeyStatus) bool { return k.KeyID == keyID })
	if i < 0 || len(s.Keys[i].Copies) != 1 {
		return false
	}
	c := s.Keys[i].Copies[0]
	return c.ProviderID == by.ID && c.Clear == by.Clear && c.Readable
}
