package httpapi

import "github.com/rollcall-id/rollcall/structs"

// searchPrefix serves what looks like a write and reads: the question is in the body.
func searchPrefix(c *call) (any, error) {
	var in struct {
		Prefix  string
		Context structs.SearchContext
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	args := &structs.SearchRequest{Context: in.Context}
	if err := c.queryOptions(args.Query()); err != nil {
		return nil, err
	}
	args.Prefix, args.MinQueryIndex = in.Prefix, 0
	var out structs.SearchResponse
	if err := c.call("Search.PrefixSearch", args, &out); err != nil {
		return nil, err
	}
	c.setMeta(&out.QueryMeta)
	return &out, nil
}

func searchFuzzy(c *call) (any, error) {
	var in struct {
		Text    string
		Context structs.SearchContext
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	args := &structs.FuzzySearchRequest{Text: in.Text, Context: in.Context}
	if err := c.queryOptions(args.Query()); err != nil {
		return nil, err
	}
	args.MinQueryIndex = 0
	var out structs.FuzzySearchResponse
	if err := c.call("Search.FuzzySearch", args, &out); err != nil {
		return nil, err
	}
	c.setMeta(&out.QueryMeta)
	return &out, nil
}
