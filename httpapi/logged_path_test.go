package httpapi

import (
	"testing"
)

func TestAMistakenSecretIsNotLogged(t *testing.T) {
	for _, tc := range []struct {
		name, path string
		code       int
		want       string
	}{
		{"an accessor that was found", "/v1/acl/token/a", 200, "/v1/acl/token/a"},
		{"something that is none", "/v1/acl/token/secret", 404, "/v1/acl/token/{accessor}"},
		{"something that was refused", "/v1/acl/token/secret", 403, "/v1/acl/token/{accessor}"},
		{"something that failed", "/v1/acl/token/secret/more", 500, "/v1/acl/token/{accessor}"},
		{"no accessor at all", "/v1/acl/token", 400, "/v1/acl/token"},
		{"another thing", "/v1/node/n", 404, "/v1/node/n"},
	} {
		if got := loggedPath(tc.path, tc.code); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}
