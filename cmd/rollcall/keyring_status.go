package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/structs"
)

func (a *app) keyringStatusCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "status", usage: "show which server can open which root key",
		help: "Every server is asked which keyring providers it has, which root keys it has loaded, and which of their wrapped\n" +
			"copies it can open by themselves. Providers whose key-encryption keys differ show different checks. The last line says how\n" +
			"far a move to the active provider is.",
		example: "operator root keyring status -verbose",
		flags:   outputFlags(verboseFlag()),
	}, func(ctx context.Context, v *invocation) error {
		res, err := v.client.KeyringStatus(ctx, nil)
		if err != nil {
			return fmt.Errorf("ask for the state of root keys: %w", err)
		}
		return v.result(res.Value, func(w io.Writer) { v.showKeyringStatus(w, res.Value) })
	})
}

func (v *invocation) showKeyringStatus(w io.Writer, servers []*structs.KeyringServerStatus) {
	providers := [][]string{{"Server", "Provider", "Active", "Check"}}
	keys := [][]string{{"Server", "Key", "State", "Loaded", "Wrapped By", "Readable"}}
	for _, s := range servers {
		if s.Error != "" {
			providers = append(providers, []string{s.Name, "no answer: " + s.Error, "", ""})
			continue
		}
		for _, p := range s.Providers {
			check := p.Check
			if p.Clear {
				check = "key beside it"
			}
			providers = append(providers, []string{s.Name, p.ID, yesNo(p.Active), orNone(check)})
		}
		for _, k := range s.Keys {
			loaded := yesNo(k.Loaded)
			if k.Error != "" && !k.Loaded {
				loaded = "no: " + k.Error
			}
			if len(k.Copies) == 0 {
				keys = append(keys, []string{s.Name, v.short(k.KeyID), string(k.State), loaded, none, none})
			}
			for _, c := range k.Copies {
				readable := yesNo(c.Readable)
				if c.Error != "" {
					readable = "no: " + c.Error
				}
				keys = append(keys, []string{s.Name, v.short(k.KeyID), string(k.State), loaded, copyName(c), readable})
			}
		}
	}
	v.table(w, providers)
	fmt.Fprintln(w)
	v.table(w, keys)
	fmt.Fprintln(w, "\n"+printable(custodyProgress(servers)))
}

func copyName(c *structs.RootKeyCopy) string {
	if c.Clear {
		return c.ProviderID + " (key beside it)"
	}
	return c.ProviderID
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// keyCustodyRows adds to the rows of a list of keys what has wrapped each, and which servers have not loaded it.
func keyCustodyRows(rows [][]string, keys []*structs.RootKeyMeta, servers []*structs.KeyringServerStatus) [][]string {
	rows[0] = append(rows[0], "Wrapped By", "Not Loaded On")
	for i, key := range keys {
		var by, missing []string
		for _, s := range servers {
			found := false
			for _, k := range s.Keys {
				if k.KeyID != key.KeyID {
					continue
				}
				found = k.Loaded
				if by == nil {
					for _, c := range k.Copies {
						by = append(by, copyName(c))
					}
				}
			}
			if !found {
				missing = append(missing, s.Name)
			}
		}
		rows[i+1] = append(rows[i+1], orNone(strings.Join(by, ", ")), orNone(strings.Join(missing, ", ")))
	}
	return rows
}
