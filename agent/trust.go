package agent

import (
	"context"

	"github.com/hashicorp/go-metrics"

	"github.com/rollcall-id/rollcall/httpapi"
)

// followTrust ends connections whose peers are not trusted any more, after each change of the certificates' files, until ctx ends.
func (a *agent) followTrust(ctx context.Context) {
	changed := make(chan struct{}, 1)
	for _, k := range a.tls.keepers() {
		k.OnChange(func() {
			select {
			case changed <- struct{}{}:
			default: // it is known
			}
		})
	}
	a.tasks.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-changed:
				a.recheckPeers()
			}
		}
	})
}

func (a *agent) recheckPeers() {
	var closed []error
	if a.server != nil {
		closed = append(closed, a.server.Recheck()...)
	}
	if a.client != nil {
		closed = append(closed, a.client.Recheck()...)
	}
	for _, h := range []*httpapi.HTTPServer{a.http, a.public} {
		if h != nil {
			closed = append(closed, h.Recheck()...)
		}
	}
	if len(closed) > 0 {
		metrics.IncrCounter([]string{"tls", "untrusted_closed"}, float32(len(closed)))
		a.log.Warn("closed connections whose peers are not trusted any more", "connections", len(closed), "one", closed[0])
	}
}
