package config

import (
	"fmt"
	"slices"
)

// aead is the provider that wraps with a key of this project's own keeping.
const aead = "aead"

// maxKeyrings bounds the keyring blocks; every unwrapping tries all of them.
const maxKeyrings = 32

// absentProviders are those of the field that this project does not build in: each needs the library of its cloud.
var absentProviders = []string{"awskms", "azurekeyvault", "gcpckms"}

// aeadOptions are the settings of an aead block.
var aeadOptions = []string{"active", "name", "kek_file", "kek_credential"}

// Keyring is one keyring "<provider>" block: who wraps root keys.
type Keyring struct {
	Provider string
	// Active says that new keys are wrapped by this one; the others only unwrap.
	Active bool
	Name   string
	// KEKFile, for aead, is the path of a file with a key-encryption key (ReadKEK). Root keys are then wrapped with it and
	// it stays out of Raft; without it every root key carries its own key-encryption key in Raft.
	KEKFile string
	// KEKCredential, for aead, is the name of a systemd credential to read the key-encryption key from instead.
	KEKCredential string
	// Options are the settings of any other provider, all strings, all treated as secret.
	Options map[string]string

	pos Pos
}

// ProviderID is the name that wrapped keys carry: the provider, followed by a dot and the block's name if it has one.
func (k Keyring) ProviderID() string {
	if k.Name == "" {
		return k.Provider
	}
	return k.Provider + "." + k.Name
}

// ActiveKeyring returns the block that wraps new root keys: the active one or, without any block, plain aead.
func (c *Config) ActiveKeyring() Keyring {
	if i := slices.IndexFunc(c.Keyrings, func(k Keyring) bool { return k.Active }); i >= 0 {
		return c.Keyrings[i]
	}
	return Keyring{Provider: aead, Active: true}
}

// keyrings decodes the keyring member of a file: an object of providers, each with one block or several.
func (d *decoder) keyrings(n *node) {
	for _, level := range listed(n) {
		if level.kind != kindObject {
			d.failf(level.pos, "keyring", `must be a block with a provider, as in keyring "aead" {}`)
			continue
		}
		for _, provider := range level.members {
			for _, body := range listed(provider.value) {
				if body.kind != kindObject {
					d.failf(provider.pos, "keyring", `must be a block with a provider, as in keyring "aead" {}`)
					continue
				}
				d.keyring(provider.name, provider.pos, body)
			}
		}
	}
}

// keyring decodes one block and merges it with the one of the same provider and name from an earlier file.
func (d *decoder) keyring(provider string, pos Pos, body *node) {
	k := Keyring{Provider: provider, pos: pos}
	given := make(map[string]bool, len(body.members))
	for _, m := range body.members {
		key := "keyring." + clip(provider) + "." + clip(m.name)
		switch {
		case given[m.name]:
			d.failf(m.pos, key, "given twice in this block")
		case m.name == "active":
			if m.value.kind != kindBool {
				d.failf(m.value.pos, key, "must be true or false without quotes, got a %s", m.value.kind)
			}
			k.Active = m.value.flag
		case m.value.kind != kindString:
			d.failf(m.value.pos, key, "must be a string, got a %s", m.value.kind)
		case m.name == "name":
			k.Name = m.value.str
		case m.name == "kek_file" && provider == aead:
			k.KEKFile = m.value.str
		case m.name == "kek_credential" && provider == aead:
			k.KEKCredential = m.value.str
		case provider == aead:
			d.unknownKeyringOption(m, aead, aeadOptions)
		case provider == transit && !slices.Contains(transitOptions, m.name):
			d.unknownKeyringOption(m, transit, append([]string{"active", "name"}, transitOptions...))
		default:
			if k.Options == nil {
				k.Options = make(map[string]string)
			}
			k.Options[m.name] = m.value.str
		}
		given[m.name] = true
	}
	i := slices.IndexFunc(d.cfg.Keyrings, func(other Keyring) bool { return other.ProviderID() == k.ProviderID() })
	if i < 0 && len(d.cfg.Keyrings) == maxKeyrings {
		d.failf(pos, "keyring", "more than %d keyring blocks", maxKeyrings)
		return
	}
	if i < 0 {
		d.cfg.Keyrings = append(d.cfg.Keyrings, k)
		return
	}
	earlier := &d.cfg.Keyrings[i]
	if earlier.pos.File == pos.File {
		d.failf(pos, "keyring."+clip(k.ProviderID()), "given twice, first at %s; give each block of a provider its own name", earlier.pos)
		return
	}
	if given["active"] {
		earlier.Active = k.Active
	}
	if given["kek_file"] && provider == aead {
		earlier.KEKFile = k.KEKFile
	}
	if given["kek_credential"] && provider == aead {
		earlier.KEKCredential = k.KEKCredential
	}
	for name, value := range k.Options {
		if earlier.Options == nil {
			earlier.Options = make(map[string]string)
		}
		earlier.Options[name] = value
	}
	earlier.pos = pos
}

func (d *decoder) unknownKeyringOption(m member, provider string, known []string) {
	hint := ""
	if near := nearest(m.name, known); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	d.failf(m.pos, "", "unknown setting or block %q in keyring.%s%s", clip(m.name), provider, hint)
}
