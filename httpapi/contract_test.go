package httpapi

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/rpc"
)

// TestMethodsAreThoseOfTheServers holds the names and argument types used here against the real method table.
func TestMethodsAreThoseOfTheServers(t *testing.T) {
	server := rpc.New(rpc.Config{Region: "global"}, rpc.Deps{Logger: hclog.NewNullLogger()})
	for _, tc := range routeCases {
		if tc.rpc == "" {
			continue
		}
		type nobodysArgument struct{}
		err := server.RPC(t.Context(), tc.rpc, &nobodysArgument{}, nil)
		if want := fmt.Sprintf("want a %T", tc.args); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: got %v, want an error that ends in %q", tc.rpc, err, want)
		}
	}
}
