package keyring

import (
	"context"
	"fmt"
)

// WaitLoaded returns when the key with that ID can sign and verify, or with the reason why it can't when ctx
// ends.
func (k *Keyring) WaitLoaded(ctx context.Context, keyID string) error {
	for {
		changed := k.changes()
		if k.current.Load().keys[keyID] != nil {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			_, _, failed := k.Ready()
			if err := failed[keyID]; err != nil {
				return fmt.Errorf("load root key %s: %w", keyID, err)
			}
			return fmt.Errorf("wait for root key %s to be loaded: %w", keyID, context.Cause(ctx))
		}
	}
}
