//go:build e2e

package sdk

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	nomad "github.com/hashicorp/nomad/api"
)

func TestNodePools(t *testing.T) {
	pools := client(t).NodePools()
	put := &nomad.NodePool{
		Name: "vault-boxes", Description: "machines with a \"TPM\" & <more>", Meta: map[string]string{"owner": "platform", "empty": ""},
		NodeIdentityTTL: 36 * time.Hour,
	}
	wm, err := pools.Register(put, nil)
	must(t, err)
	if wm.LastIndex == 0 {
		t.Errorf("metadata of the write is %+v", wm)
	}
	t.Cleanup(func() { _, _ = pools.Delete(put.Name, nil) })
	got, qm, err := pools.Info(put.Name, nil)
	must(t, err)
	wantMeta(t, qm)
	want := *put
	want.CreateIndex, want.ModifyIndex = wm.LastIndex, wm.LastIndex
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("pool (-put +got):\n%s", diff)
	}

	put.Description, put.Meta, put.NodeIdentityTTL = "", nil, 0
	wm2, err := pools.Register(put, nil)
	must(t, err)
	got, _, err = pools.Info(put.Name, nil)
	must(t, err)
	want = *put
	want.NodeIdentityTTL, want.CreateIndex, want.ModifyIndex = 24*time.Hour, wm.LastIndex, wm2.LastIndex // 0 means a day
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("pool written anew (-want +got):\n%s", diff)
	}

	_, err = pools.Delete(put.Name, nil)
	must(t, err)
	_, _, err = pools.Info(put.Name, nil)
	wantCode(t, err, 404, "node pool not found")
	_, err = pools.Delete(put.Name, nil)
	wantCode(t, err, 404, "node pool not found")
}

func TestPoolsThatAreRefused(t *testing.T) {
	pools := client(t).NodePools()
	for name, tc := range map[string]struct {
		pool nomad.NodePool
		code int
		text string
	}{
		"a built-in one":  {nomad.NodePool{Name: "default", Description: "mine"}, 400, `modifying node pool "default" is not allowed`},
		"an odd name":     {nomad.NodePool{Name: "a/b"}, 400, "invalid"},
		"a negative TTL":  {nomad.NodePool{Name: "neg", NodeIdentityTTL: -time.Hour}, 400, "TTL"},
		"a TTL too long":  {nomad.NodePool{Name: "long", NodeIdentityTTL: 200_000 * time.Hour}, 400, "TTL"},
		"a scheduler set": {nomad.NodePool{Name: "sched", SchedulerConfiguration: &nomad.NodePoolSchedulerConfiguration{SchedulerAlgorithm: "spread"}}, 400, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pools.Register(&tc.pool, nil)
			wantCode(t, err, tc.code, tc.text)
		})
	}
	_, err := pools.Delete(pool, nil)
	wantCode(t, err, 500, fmt.Sprintf("node pool %q has nodes in regions: [global]", pool))
	_, err = pools.Delete("default", nil)
	wantCode(t, err, 400, "not allowed")
}

func TestPoolsInPages(t *testing.T) {
	pools := client(t).NodePools()
	want := []string{"page-a", "page-b", "page-c", "page-d", "page-e"}
	for i, name := range want {
		_, err := pools.Register(&nomad.NodePool{Name: name, Meta: map[string]string{"odd": fmt.Sprint(i%2 == 1)}}, nil)
		must(t, err)
		t.Cleanup(func() { _, _ = pools.Delete(name, nil) })
	}
	walk := func(q nomad.QueryOptions) (names []string, sizes []int) {
		for {
			page, qm, err := pools.List(&q)
			must(t, err)
			for _, p := range page {
				names = append(names, p.Name)
			}
			sizes = append(sizes, len(page))
			if q.NextToken = qm.NextToken; q.NextToken == "" {
				return names, sizes
			}
		}
	}
	names, sizes := walk(nomad.QueryOptions{Prefix: "page-", PerPage: 2})
	if !slices.Equal(names, want) || !slices.Equal(sizes, []int{2, 2, 1}) {
		t.Errorf("pages of %v: %v", sizes, names)
	}
	names, _ = walk(nomad.QueryOptions{Prefix: "page-", PerPage: 2, Filter: `Meta["odd"] == "true"`})
	if !slices.Equal(names, []string{"page-b", "page-d"}) {
		t.Errorf("filtered %v", names)
	}
	slices.Reverse(want)
	if names, _ = walk(nomad.QueryOptions{Prefix: "page-", PerPage: 3, Reverse: true}); !slices.Equal(names, want) {
		t.Errorf("reversed %v", names)
	}
	if found, _, err := pools.PrefixList("page-c", nil); err != nil || len(found) != 1 {
		t.Errorf("found %v, error %v", found, err)
	}
	_, _, err := pools.List(&nomad.QueryOptions{Filter: "Name ==="})
	wantCode(t, err, 400, "failed to read filter expression")
	_, _, err = pools.List(&nomad.QueryOptions{Filter: "Nome == x"})
	wantCode(t, err, 400, "failed to read result page")
}

func TestNodesOfAPool(t *testing.T) {
	pools := client(t).NodePools()
	nodes, qm, err := pools.ListNodes(pool, nil)
	must(t, err)
	wantMeta(t, qm)
	if len(nodes) != 1 || nodes[0].ID != world.edgeID || nodes[0].NodePool != pool {
		t.Errorf("nodes of %s: %+v", pool, nodes)
	}
	nodes, _, err = pools.ListNodes("all", nil)
	must(t, err)
	if len(nodes) < 2 {
		t.Errorf("%d nodes in all", len(nodes))
	}
	_, _, err = pools.ListNodes("nowhere", nil)
	wantCode(t, err, 404, "node pool not found")
	jobs, _, err := pools.ListJobs(pool, nil)
	if err != nil || len(jobs) != 0 {
		t.Errorf("jobs %v, error %v", jobs, err)
	}
}
