package httpapi

import "slices"

// publicPatterns are the routes of the public listener: what verifiers of identities ask for, and whether the agent is well, for who
// balances their load.
var publicPatterns = []string{"/.well-known/jwks.json", "/.well-known/openid-configuration", "/v1/agent/health"}

// publicRoutes are the rows of the table that the public listener has.
func publicRoutes(table []route) []route {
	return slices.DeleteFunc(slices.Clone(table), func(r route) bool { return !slices.Contains(publicPatterns, r.pattern) })
}
