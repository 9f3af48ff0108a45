package agent

import (
	"fmt"

	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/config"
	"github.com/rollcall-id/rollcall/keyring"
	"github.com/rollcall-id/rollcall/keyring/transit"
	"github.com/rollcall-id/rollcall/server"
)

// keyConfig says how root keys are wrapped and looked after. It reads key-encryption keys, and calls no provider.
func keyConfig(c *config.Config, log hclog.Logger) (server.KeyConfig, error) {
	k := server.KeyConfig{
		Keyring:  keyring.Config{Algorithm: c.Server.SigningAlgorithm},
		Policy:   keyring.Policy{RotationThreshold: c.Server.RootKeyRotationThreshold, GCThreshold: c.Server.RootKeyGCThreshold},
		Interval: c.Server.RootKeyGCInterval, StartLimit: c.Server.StartTimeout,
	}
	for _, block := range c.Keyrings {
		w := keyring.WrapperConfig{Provider: block.Provider, Name: block.Name, Active: block.Active}
		switch {
		case block.HasKEK():
			kek, err := block.ReadKEK()
			if err != nil {
				return k, fmt.Errorf("keyring %s: %w", block.ProviderID(), err)
			}
			w.KEK, w.Source = kek, block.KEKSource()
		case block.Provider == transit.Provider:
			service := transit.New(transit.Config{Options: block.ProviderOptions(), Logger: log.Named("keyring." + block.ProviderID())})
			w.Wrapper, w.Source = service, service.Source()
		}
		k.Keyring.Wrappers = append(k.Keyring.Wrappers, w)
	}
	return k, nil
}
