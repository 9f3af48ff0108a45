package rpc

import (
	"fmt"
	"iter"
	"net/http"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/structs"
)

const (
	// searchLimit is how many matches of one context a prefix search answers with, as in the compatible API.
	searchLimit = 20
	// fuzzyLimit is how many matches of one context a fuzzy search answers with.
	fuzzyLimit = 100
	// minFuzzyText keeps a search from finding nearly everything.
	minFuzzyText = 2
)

func (s *Server) registerSearchMethods() {
	handle(s, Spec{Name: "Search.PrefixSearch"}, s.searchPrefix)
	handle(s, Spec{Name: "Search.FuzzySearch"}, s.searchFuzzy)
}

// found is what of one context matches.
type found iter.Seq2[structs.FuzzyMatch, error]

// collect takes up to limit matches and reports whether there were more.
func collect(matches found, limit int) (hits []structs.FuzzyMatch, more bool, err error) {
	hits = []structs.FuzzyMatch{}
	for m, err := range matches {
		switch {
		case err != nil:
			return nil, false, err
		case len(hits) == limit:
			return hits, true, nil
		}
		hits = append(hits, m)
	}
	return hits, false, nil
}

func (s *Server) searchPrefix(c *Call, req *structs.SearchRequest, reply *structs.SearchResponse) error {
	contexts, err := searchContexts(req.Context)
	if err != nil {
		return err
	}
	reply.Matches, reply.Truncations = map[structs.SearchContext][]string{}, map[structs.SearchContext]bool{}
	st := c.visibleState()
	for _, ctx := range contexts {
		hits, more, err := collect(prefixMatches(st, ctx, req.Prefix), searchLimit)
		if err != nil {
			return fmt.Errorf("search %s: %w", ctx, err)
		}
		ids := make([]string, len(hits))
		for i, m := range hits {
			ids[i] = m.ID
		}
		reply.Matches[ctx], reply.Truncations[ctx] = ids, more
	}
	return c.searched(st, &reply.QueryMeta)
}

func (s *Server) searchFuzzy(c *Call, req *structs.FuzzySearchRequest, reply *structs.FuzzySearchResponse) error {
	contexts, err := searchContexts(req.Context)
	if err != nil {
		return err
	}
	if len(req.Text) < minFuzzyText {
		return structs.Coded(http.StatusBadRequest, "fuzzy search text must have at least %d bytes", minFuzzyText)
	}
	reply.Matches, reply.Truncations = map[structs.SearchContext][]structs.FuzzyMatch{}, map[structs.SearchContext]bool{}
	st := c.visibleState()
	for _, ctx := range contexts {
		hits, more, err := collect(fuzzyMatches(st, ctx, strings.ToLower(req.Text)), fuzzyLimit)
		if err != nil {
			return fmt.Errorf("search %s: %w", ctx, err)
		}
		reply.Matches[ctx], reply.Truncations[ctx] = hits, more
	}
	return c.searched(st, &reply.QueryMeta)
}

// searchContexts returns what to look through.
func searchContexts(ctx structs.SearchContext) ([]structs.SearchContext, error) {
	switch {
	case !ctx.Valid():
		return nil, structs.Coded(http.StatusBadRequest, "search context %q is not known; want one of %v or all", ctx, structs.SearchContexts())
	case ctx == "" || ctx == structs.SearchAll:
		return structs.SearchContexts(), nil
	}
	return []structs.SearchContext{ctx}, nil
}

// searched fills the metadata: the latest index of what was looked through.
func (c *Call) searched(st State, meta *structs.QueryMeta) error {
	for _, table := range []string{"nodes", "node_pools", "namespaces"} {
		index, err := tableIndex(st, table)
		if err != nil {
			return err
		}
		meta.Index = max(meta.Index, index)
	}
	c.setContact(meta)
	return nil
}

func prefixMatches(st State, ctx structs.SearchContext, prefix string) found {
	if ctx == structs.SearchNodes {
		return func(yield func(structs.FuzzyMatch, error) bool) {
			nodes, err := st.NodesByIDPrefix(nil, strings.ToLower(prefix))
			if err != nil {
				yield(structs.FuzzyMatch{}, err)
				return
			}
			for n := range nodes {
				if !yield(structs.FuzzyMatch{ID: n.ID}, nil) {
					return
				}
			}
		}
	}
	return named(st, ctx, func(name string) bool { return strings.HasPrefix(name, prefix) })
}

func fuzzyMatches(st State, ctx structs.SearchContext, text string) found {
	has := func(name string) bool { return strings.Contains(strings.ToLower(name), text) }
	if ctx == structs.SearchNodes {
		return func(yield func(structs.FuzzyMatch, error) bool) {
			nodes, err := st.Nodes(nil)
			if err != nil {
				yield(structs.FuzzyMatch{}, err)
				return
			}
			for n := range nodes {
				if has(n.Name) && !yield(structs.FuzzyMatch{ID: n.Name, Scope: []string{n.ID}}, nil) {
					return
				}
			}
		}
	}
	return named(st, ctx, has)
}

// named yields what is known by its name alone. Other contexts have nothing.
func named(st State, ctx structs.SearchContext, matches func(string) bool) found {
	return func(yield func(structs.FuzzyMatch, error) bool) {
		names, err := contextNames(st, ctx)
		if err != nil {
			yield(structs.FuzzyMatch{}, err)
			return
		}
		for name := range names {
			if matches(name) && !yield(structs.FuzzyMatch{ID: name}, nil) {
				return
			}
		}
	}
}

func contextNames(st State, ctx structs.SearchContext) (iter.Seq[string], error) {
	switch ctx {
	case structs.SearchNodePools:
		pools, err := st.NodePools(memdb.WatchSet(nil))
		return func(yield func(string) bool) {
			for p := range pools {
				if !yield(p.Name) {
					return
				}
			}
		}, err
	case structs.SearchNamespaces:
		namespaces, err := st.Namespaces(memdb.WatchSet(nil))
		return func(yield func(string) bool) {
			for n := range namespaces {
				if !yield(n.Name) {
					return
				}
			}
		}, err
	}
	return nothing[string](), nil
}
