package rpc

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

func TestPrefixSearch(t *testing.T) {
	w := newFleet(t)
	w.mustApply(structs.NamespaceUpsertMsg, &structs.NamespaceUpsertRequest{Namespaces: []*structs.Namespace{{Name: "design"}}})
	w.setPool("dev", time.Hour)
	everything := map[structs.SearchContext][]string{}
	for _, ctx := range structs.SearchContexts() {
		everything[ctx] = []string{}
	}
	all := func(change map[structs.SearchContext][]string) map[structs.SearchContext][]string {
		out := map[structs.SearchContext][]string{}
		for ctx, ids := range everything {
			out[ctx] = ids
		}
		for ctx, ids := range change {
			out[ctx] = ids
		}
		return out
	}
	for _, tc := range []struct {
		name   string
		ctx    structs.SearchContext
		prefix string
		want   map[structs.SearchContext][]string
	}{
		{"one node by its whole ID", "nodes", nodeID(1), map[structs.SearchContext][]string{"nodes": {nodeID(1)}}},
		{"an ambiguous ID lists the candidates", "nodes", "00000000-00", map[structs.SearchContext][]string{"nodes": {nodeID(1), nodeID(2)}}},
		{"upper case is as good", "nodes", "00000000-0000-4000-8000-000000001001", map[structs.SearchContext][]string{"nodes": {nodeID(1)}}},
		{"a node that there is not", "nodes", "ff", map[structs.SearchContext][]string{"nodes": {}}},
		{"pools", "node_pools", "de", map[structs.SearchContext][]string{"node_pools": {"default", "dev"}}},
		{"namespaces", "namespaces", "de", map[structs.SearchContext][]string{"namespaces": {"default", "design"}}},
		{"everything", "all", "de", all(map[structs.SearchContext][]string{"node_pools": {"default", "dev"}, "namespaces": {"default", "design"}})},
		{"everything when nothing is said", "", "dev", all(map[structs.SearchContext][]string{"node_pools": {"dev"}})},
		{"what is not here", "jobs", "d", map[structs.SearchContext][]string{"jobs": {}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q := query("")
			q.Prefix = tc.prefix
			got := must(call[structs.SearchResponse](w, "Search.PrefixSearch", &structs.SearchRequest{Context: tc.ctx, QueryOptions: q}))(t)
			if diff := cmp.Diff(tc.want, got.Matches); diff != "" {
				t.Errorf("matches (-want +got):\n%s", diff)
			}
			for ctx := range tc.want {
				if more, named := got.Truncations[ctx]; more || !named {
					t.Errorf("truncations %v, want false for %s", got.Truncations, ctx)
				}
			}
			if got.Index < 2 || !got.KnownLeader {
				t.Errorf("metadata %+v", got.QueryMeta)
			}
		})
	}
	_, err := call[structs.SearchResponse](w, "Search.PrefixSearch", &structs.SearchRequest{Context: "cats", QueryOptions: query("")})
	wantCode(t, err, 400)
}

func TestSearchesAreCut(t *testing.T) {
	w := newWorld(t)
	for i := range fuzzyLimit + 1 {
		must(w.register(testNode(i), ""))(t)
	}
	q := query("")
	q.Prefix = "0000"
	ids := must(call[structs.SearchResponse](w, "Search.PrefixSearch", &structs.SearchRequest{Context: "nodes", QueryOptions: q}))(t)
	if n := len(ids.Matches["nodes"]); n != searchLimit || !ids.Truncations["nodes"] {
		t.Errorf("%d matches, truncated is %v", n, ids.Truncations)
	}
	hits := must(call[structs.FuzzySearchResponse](w, "Search.FuzzySearch", &structs.FuzzySearchRequest{Text: "node-", Context: "nodes", QueryOptions: query("")}))(t)
	if n := len(hits.Matches["nodes"]); n != fuzzyLimit || !hits.Truncations["nodes"] {
		t.Errorf("%d matches, truncated is %v", n, hits.Truncations)
	}
}

func TestFuzzySearch(t *testing.T) {
	w := newFleet(t)
	ask := func(text string, ctx structs.SearchContext) (*structs.FuzzySearchResponse, error) {
		return call[structs.FuzzySearchResponse](w, "Search.FuzzySearch", &structs.FuzzySearchRequest{Text: text, Context: ctx, QueryOptions: query("")})
	}
	got := must(ask("ODE-", "nodes"))(t)
	want := map[structs.SearchContext][]structs.FuzzyMatch{"nodes": {
		{ID: "node-1", Scope: []string{nodeID(1)}}, {ID: "node-2", Scope: []string{nodeID(2)}},
	}}
	if diff := cmp.Diff(want, got.Matches); diff != "" {
		t.Errorf("matches (-want +got):\n%s", diff)
	}
	got = must(ask("faul", "all"))(t)
	if diff := cmp.Diff([]structs.FuzzyMatch{{ID: "default"}}, got.Matches["node_pools"]); diff != "" || len(got.Matches["nodes"]) != 0 {
		t.Errorf("matches %v", got.Matches)
	}
	_, err := ask("d", "all")
	wantCode(t, err, 400)
	_, err = ask("default", "cats")
	wantCode(t, err, 400)
}

func TestNamespaces(t *testing.T) {
	w := newWorld(t)
	for i := range 3 {
		w.mustApply(structs.NamespaceUpsertMsg, &structs.NamespaceUpsertRequest{Namespaces: []*structs.Namespace{{Name: fmt.Sprintf("ns-%d", i)}}})
	}
	var got []string
	q := query("")
	q.PerPage, q.Prefix, q.Filter = 1, "ns-", `Name != "ns-1"`
	for {
		page := must(call[structs.NamespaceListResponse](w, "Namespace.ListNamespaces", &structs.GenericRequest{QueryOptions: q}))(t)
		for _, n := range page.Namespaces {
			got = append(got, n.Name)
		}
		if q.NextToken = page.NextToken; q.NextToken == "" {
			break
		}
	}
	if !slices.Equal(got, []string{"ns-0", "ns-2"}) {
		t.Errorf("listed %v", got)
	}
	one := must(call[structs.SingleNamespaceResponse](w, "Namespace.GetNamespace", &structs.NamespaceSpecificRequest{Name: "default", QueryOptions: query("")}))(t)
	if one.Namespace == nil || one.Namespace.Name != "default" {
		t.Errorf("default is %+v", one.Namespace)
	}
	one = must(call[structs.SingleNamespaceResponse](w, "Namespace.GetNamespace", &structs.NamespaceSpecificRequest{Name: "no", QueryOptions: query("")}))(t)
	if one.Namespace != nil || one.Index < 1 {
		t.Errorf("a namespace that there is not: %+v", one)
	}
}

// Whoever watches jobs must not be answered at once, again and again.
func TestListsOfWhatIsAbsentHoldTheirQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubbleWorld(t)
		first := must(call[structs.AbsentListResponse](w, "Absent.List", &structs.GenericRequest{QueryOptions: query("")}))(t)
		if first.Items == nil || len(first.Items) != 0 || first.Index < 1 {
			t.Fatalf("reply %+v", first)
		}
		q := wait[structs.AbsentListResponse](t.Context(), w, "Absent.List", &structs.GenericRequest{QueryOptions: blocking(first.Index, time.Minute)})
		w.setPool("x", time.Hour)
		if q.answered() {
			t.Fatal("woken by something else")
		}
		<-q.done
		if q.err != nil || q.took < time.Minute {
			t.Errorf("after %s: %v", q.took, q.err)
		}
		bad := query("")
		bad.Filter = "=="
		_, err := call[structs.AbsentListResponse](w, "Absent.List", &structs.GenericRequest{QueryOptions: bad})
		wantCode(t, err, 400)
	})
}
