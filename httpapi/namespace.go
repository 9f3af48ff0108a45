package httpapi

import (
	"net/http"

	"github.com/rollcall-id/rollcall/structs"
)

func listNamespaces(c *call) (any, error) {
	var out structs.NamespaceListResponse
	if err := c.read("Namespace.ListNamespaces", &structs.GenericRequest{}, &out); err != nil {
		return nil, err
	}
	return list(out.Namespaces), nil
}

func getNamespace(c *call) (any, error) {
	var out structs.SingleNamespaceResponse
	if err := c.read("Namespace.GetNamespace", &structs.NamespaceSpecificRequest{Name: c.params["name"]}, &out); err != nil {
		return nil, err
	}
	if out.Namespace == nil {
		return nil, fail(http.StatusNotFound, "Namespace not found")
	}
	return out.Namespace, nil
}
