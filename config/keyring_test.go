package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestActiveKeyringIsPlainAEADUnlessConfigured(t *testing.T) {
	t.Parallel()
	c := DefaultConfig()
	if diff := cmp.Diff(Keyring{Provider: "aead", Active: true}, c.ActiveKeyring(), plain); diff != "" {
		t.Errorf("without a block: %s", diff)
	}
	c.Keyrings = []Keyring{{Provider: "aead"}, {Provider: "aead", Name: "b", Active: true}}
	if got := c.ActiveKeyring().ProviderID(); got != "aead.b" {
		t.Errorf("active is %s", got)
	}
	if got := c.Keyrings[0].ProviderID(); got != "aead" {
		t.Errorf("a block without name is %s", got)
	}
}

func TestTransitTakesWhatItLacksFromTheEnvironment(t *testing.T) {
	for _, variable := range transitEnvironment {
		t.Setenv(variable, "")
	}
	t.Setenv("VAULT_ADDR", "https://kms.example")
	t.Setenv("VAULT_TOKEN", "from-environment")
	t.Setenv("VAULT_CACERT", "/ca.pem")
	k := Keyring{Provider: "transit", Options: map[string]string{"token": "from-block", "key_name": "k"}}
	want := map[string]string{"address": "https://kms.example", "token": "from-block", "tls_ca_cert": "/ca.pem", "key_name": "k"}
	if diff := cmp.Diff(want, k.ProviderOptions()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if len(k.Options) != 2 {
		t.Error("the block was changed")
	}
	if got := (Keyring{Provider: "aead"}).ProviderOptions(); len(got) != 0 {
		t.Errorf("aead has %v", got)
	}
}

func TestTransitWarnsOfWhatLetsOthersReadRootKeys(t *testing.T) {
	for _, variable := range transitEnvironment {
		t.Setenv(variable, "")
	}
	for _, tc := range []struct {
		name, address, skip string
		want                int
	}{
		{"https is fine", "https://kms.example", "", 0},
		{"a proxy on this machine is fine", "http://127.0.0.1:8100", "", 0},
		{"http to elsewhere is not", "http://kms.example", "", 1},
		{"nor is any certificate", "https://kms.example", "true", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := DefaultConfig()
			c.Keyrings = []Keyring{{Provider: "transit", Active: true, Options: map[string]string{
				"address": tc.address, "mount_path": "transit", "key_name": "k", "tls_skip_verify": tc.skip}}}
			v := &validator{Config: c}
			v.keyrings()
			if err := v.errs.err(); err != nil || len(v.warns) != tc.want {
				t.Errorf("errors %v, warnings %v; want none and %d", err, v.warns, tc.want)
			}
		})
	}
}
