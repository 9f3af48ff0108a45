package structs

import (
	"errors"
	"fmt"
	"testing"
)

// TestErrorsCrossTheWire: after every hop has put its prefix before the text, errors.Is still finds the sentinel.
func TestErrorsCrossTheWire(t *testing.T) {
	for _, sentinel := range wireErrors {
		t.Run(sentinel.Error(), func(t *testing.T) {
			text := fmt.Errorf("rpc error: forward: %w: more", sentinel).Error()
			err := ErrorFromWire(text)
			if !errors.Is(err, sentinel) || err.Error() != text {
				t.Errorf("got %v", err)
			}
			for _, other := range wireErrors {
				if other != sentinel && errors.Is(err, other) {
					t.Errorf("also taken for %v", other)
				}
			}
			coded := Coded(400, "bad: %w", sentinel)
			got := ErrorFromWire("rpc error: " + coded.Error())
			var c *CodedError
			if !errors.As(got, &c) || c.Code != 400 || !errors.Is(got, sentinel) || got.Error() != coded.Error() || !errors.Is(coded, sentinel) {
				t.Errorf("coded: got %v", got)
			}
		})
	}
}

func TestErrorsThatAreNotCoded(t *testing.T) {
	for _, text := range []string{"RPC Error:: 400", "RPC Error:: x,y", "RPC Error:: 99,y", "RPC Error:: 600,y", "plain", ""} {
		err := ErrorFromWire(text)
		var c *CodedError
		if errors.As(err, &c) || err.Error() != text {
			t.Errorf("%q became %#v", text, err)
		}
	}
}

func TestHTTPStatus(t *testing.T) {
	for _, c := range []struct {
		name    string
		err     error
		code    int
		message string
	}{
		{"a coded error", Coded(418, "tea, %s", "pot"), 418, "tea, pot"},
		{"a coded error from afar", ErrorFromWire("rpc error: RPC Error:: 404,no such thing"), 404, "no such thing"},
		{"a wrapped coded error", fmt.Errorf("x: %w", Coded(400, "bad")), 400, "bad"},
		{"permission denied loses its prefixes", fmt.Errorf("x: %w", ErrPermissionDenied), 403, "Permission denied"},
		{"an unknown token", fmt.Errorf("x: %w", ErrTokenNotFound), 403, "ACL token not found"},
		{"a node without a connection", fmt.Errorf("x: %w", ErrNoNodeConn), 404, "x: No path to node"},
		{"an unknown node, however far away", fmt.Errorf("rpc error: %w", ErrNodeNotFound), 404, "node not found"},
		{"overload", ErrOverloaded, 429, ErrOverloaded.Error()},
		{"anything else", errors.New("boom"), 500, "boom"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if code, message := HTTPStatus(c.err); code != c.code || message != c.message {
				t.Errorf("got %d %q, want %d %q", code, message, c.code, c.message)
			}
		})
	}
}
