package structs

// SearchContext names a kind of things that a search looks through.
type SearchContext string

// Contexts of a search. Those beyond the first three are kinds of the wider product; nothing is ever found in them.
const (
	SearchNodes      SearchContext = "nodes"
	SearchNodePools  SearchContext = "node_pools"
	SearchNamespaces SearchContext = "namespaces"
	SearchAll        SearchContext = "all"
)

// SearchContexts are the kinds that a search through everything names in its answer.
func SearchContexts() []SearchContext {
	return []SearchContext{
		SearchNodes, SearchNodePools, SearchNamespaces,
		"allocs", "deployment", "evals", "host_volumes", "jobs", "plugins", "scaling_policy", "vars", "volumes",
	}
}

// Valid reports whether c is a context that may be asked for. An empty one means all.
func (c SearchContext) Valid() bool {
	switch c {
	case "", SearchAll, "classes", "commands", "groups", "images", "quotas", "recommendations", "services", "tasks":
		return true
	}
	for _, known := range SearchContexts() {
		if c == known {
			return true
		}
	}
	return false
}

// SearchRequest asks for what begins with the options' Prefix: the ID of a node, the name of anything else.
type SearchRequest struct {
	Context SearchContext
	QueryOptions
}

// SearchResponse has at most a page of matches for each context; Truncations says where there were more.
type SearchResponse struct {
	Matches     map[SearchContext][]string
	Truncations map[SearchContext]bool
	QueryMeta
}

// FuzzySearchRequest asks for what has Text in its name, in upper or lower case.
type FuzzySearchRequest struct {
	Text    string
	Context SearchContext
	QueryOptions
}

// FuzzyMatch is one hit. A node is found by its name, and its ID is the scope.
type FuzzyMatch struct {
	ID    string
	Scope []string `json:",omitempty"`
}

// FuzzySearchResponse is a SearchResponse with names.
type FuzzySearchResponse struct {
	Matches     map[SearchContext][]FuzzyMatch
	Truncations map[SearchContext]bool
	QueryMeta
}

var (
	_ RPCRequest = (*SearchRequest)(nil)
	_ RPCRequest = (*FuzzySearchRequest)(nil)
)
