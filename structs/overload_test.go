package structs

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestOverloadCrossesTheWireWithItsPause(t *testing.T) {
	err := Overloaded(2 * time.Second)
	if want := "RPC Error:: 429,rate limit exceeded, try again later; retry after 2s"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	for name, c := range map[string]struct {
		err  error
		want time.Duration
	}{
		"here":                   {err, 2 * time.Second},
		"after a hop":            {ErrorFromWire(err.Error()), 2 * time.Second},
		"after two hops":         {ErrorFromWire("rpc error: " + err.Error()), 2 * time.Second},
		"with words before":      {fmt.Errorf("register: %w", ErrorFromWire(err.Error())), 2 * time.Second},
		"from who says nothing":  {ErrorFromWire("RPC Error:: 429,rate limit exceeded, try again later"), 0},
		"from who says nonsense": {ErrorFromWire("RPC Error:: 429,rate limit exceeded, try again later; retry after -1h"), 0},
		"from who says for ever": {ErrorFromWire("RPC Error:: 429,rate limit exceeded, try again later; retry after 9000h"), time.Minute},
		"another error":          {errors.New("x; retry after 2s"), 0},
		"nothing":                {nil, 0},
	} {
		if got := RetryAfter(c.err); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}
