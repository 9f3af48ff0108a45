package httpapi

import (
	"net/http"
	"strings"

	"github.com/rollcall-id/rollcall/structs"
)

// absentParts names the parts of the compatible product that are not here, by the first word of their paths under /v1, or
// the first two. Lists of them that are asked for by tools which show a cluster are routes, and empty.
var absentParts = map[string]string{
	"job": "jobs", "jobs": "jobs", "validate": "jobs",
	"allocation": "allocations", "allocations": "allocations", "client/allocation": "allocations", "client/fs": "allocations",
	"evaluation": "evaluations", "evaluations": "evaluations",
	"deployment": "deployments", "deployments": "deployments",
	"service": "services", "services": "services",
	"volume": "volumes", "volumes": "volumes", "plugin": "volume plugins", "plugins": "volume plugins",
	"var": "variables", "vars": "variables",
	"scaling":   "scaling policies",
	"namespace": "changes of namespaces", "namespaces": "changes of namespaces",
	"operator/upgrade-check": "upgrade checks of jobs",
}

// loginParts are ways to log in by another system, by the same two words.
var loginParts = map[string]bool{"acl/auth-method": true, "acl/binding-rule": true, "acl/oidc": true, "acl/login": true}

// enterpriseParts are those that the compatible product's free edition does not have either.
var enterpriseParts = map[string]bool{
	"quota": true, "quotas": true, "quota-usages": true, "sentinel": true, "recommendation": true, "recommendations": true,
}

// absent returns the answer to a request for a part that is not here, nil for any other.
func absent(path string) error {
	words := strings.SplitN(strings.TrimPrefix(path, "/v1/"), "/", 3)
	first, two := words[0], strings.Join(words[:min(len(words), 2)], "/")
	what, ok := absentParts[first]
	if !ok {
		what, ok = absentParts[two]
	}
	switch {
	case !strings.HasPrefix(path, "/v1/"):
		return nil
	case ok:
		return fail(http.StatusNotImplemented, "%s are not part of Rollcall, which gives identities to nodes and runs nothing on them", what)
	case loginParts[two]:
		_, err := refuseLogins(nil)
		return err
	case enterpriseParts[first]:
		_, err := enterpriseOnly(nil)
		return err
	}
	return nil
}

// listAbsent answers as a cluster that has none.
func listAbsent(c *call) (any, error) {
	var out structs.AbsentListResponse
	if err := c.read("Absent.List", &structs.GenericRequest{}, &out); err != nil {
		return nil, err
	}
	return list(out.Items), nil
}

// getAbsent answers that there is no such thing.
func getAbsent(what string) handler {
	return func(*call) (any, error) { return nil, fail(http.StatusNotFound, "%s not found", what) }
}
