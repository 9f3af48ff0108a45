package certs

import (
	"context"
	"crypto/sha256"
	"time"
)

// watched is what Watch remembers from one look to the next.
type watched struct {
	seen   [sha256.Size]byte // contents that differ from those in use, at the last look
	failed string            // what was wrong with them, said once
}

// Watch looks at the files every interval until ctx ends. What has changed is taken into use once it has stayed the same from one
// look to the next, so that a set of which only a part has been written is left alone. A set that is refused is logged once and
// leaves the one in use.
func (k *Keeper) Watch(ctx context.Context, interval time.Duration) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			k.look()
		}
	}
}

// look is one look at the files.
func (k *Keeper) look() {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.current.Load()
	c, err := k.read(now.files)
	if err != nil {
		k.watched.seen = [sha256.Size]byte{}
		k.refuse(err)
		return
	}
	sum := c.sum()
	switch {
	case sum == now.sum:
		k.watched = watched{}
	case sum != k.watched.seen:
		k.watched = watched{seen: sum}
	default:
		s, err := k.parse(now.files, c)
		if err != nil {
			k.refuse(err)
			return
		}
		k.take(s)
	}
}

// refuse logs what is wrong with the files that changed, unless the last line said it; k.mu is held.
func (k *Keeper) refuse(err error) {
	if k.watched.failed == err.Error() {
		return
	}
	k.watched.failed = err.Error()
	k.log.Error("certificates have changed and can't be used; going on with the ones before", "error", err)
}
