package structs

// NamespaceListResponse is sorted by name.
type NamespaceListResponse struct {
	Namespaces []*Namespace
	QueryMeta
}

// NamespaceSpecificRequest names one namespace.
type NamespaceSpecificRequest struct {
	Name string
	QueryOptions
}

// SingleNamespaceResponse has nil for a namespace that does not exist.
type SingleNamespaceResponse struct {
	Namespace *Namespace
	QueryMeta
}

var _ RPCRequest = (*NamespaceSpecificRequest)(nil)
