package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// rightsCheck is how often an agent that is no server asks again whether the follower of its log may read it; what servers have
// answered is remembered besides, as for every request.
const rightsCheck = 10 * time.Second

// whileAllowedHere returns a context that ends with the request or, with the refusal as its cause, when the caller's token is no longer
// good for the route. Servers that can't be reached end nothing.
func (c *call) whileAllowedHere() (_ context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(c.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		again := time.NewTicker(rightsCheck)
		defer again.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-again.C:
			}
			if err := c.mayHere(); err != nil {
				if code, _ := structs.HTTPStatus(err); code == http.StatusForbidden {
					cancel(err)
					return
				}
			}
		}
	}()
	return ctx, func() { cancel(nil); <-done }
}
