package rpc

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/fsm"
	"github.com/rollcall-id/rollcall/structs"
)

// waiting runs a blocking query and returns its answer once there is one.
type waiting[R any] struct {
	done  chan struct{}
	reply *R
	err   error
	took  time.Duration
}

func wait[R any](ctx context.Context, w *world, name string, args any) *waiting[R] {
	q := &waiting[R]{done: make(chan struct{})}
	began := time.Now()
	go func() {
		defer close(q.done)
		q.reply, q.err = callCtx[R](ctx, w, name, args)
		q.took = time.Since(began)
	}()
	synctest.Wait()
	return q
}

// answered reports whether the answer is there, at once or after a moment.
func (q *waiting[R]) answered() bool {
	select {
	case <-q.done:
		return true
	case <-time.After(2 * time.Second):
		return false
	}
}

func blocking(index uint64, d time.Duration) structs.QueryOptions {
	q := query("")
	q.MinQueryIndex, q.MaxQueryTime = index, d
	return q
}

func TestBlockingQueryWakesOnAChange(t *testing.T) {
	cases := []struct {
		name   string
		ask    func(w *world, index uint64) func() (answered bool, next uint64)
		change func(w *world)
		other  func(w *world) // a change that is none of the query's business
	}{
		{"the nodes", query1[structs.NodeListResponse]("Node.List", func(q structs.QueryOptions) any { return &structs.NodeListRequest{QueryOptions: q} }),
			func(w *world) { w.setStatus(2, structs.NodeStatusDown) }, func(w *world) { w.setPool("x", 0) }},
		{"one node", query1[structs.SingleNodeResponse]("Node.GetNode", func(q structs.QueryOptions) any {
			return &structs.NodeSpecificRequest{NodeID: nodeID(1), QueryOptions: q}
		}), func(w *world) { w.setStatus(1, structs.NodeStatusDown) }, func(w *world) { w.setStatus(2, structs.NodeStatusDown) }},
		{"one node that goes away", query1[structs.SingleNodeResponse]("Node.GetNode", func(q structs.QueryOptions) any {
			return &structs.NodeSpecificRequest{NodeID: nodeID(1), QueryOptions: q}
		}), func(w *world) { w.purge(1) }, func(w *world) { w.purge(2) }},
		{"one node that is still to come", query1[structs.SingleNodeResponse]("Node.GetNode", func(q structs.QueryOptions) any {
			return &structs.NodeSpecificRequest{NodeID: nodeID(3), QueryOptions: q}
		}), func(w *world) { w.join(3) }, func(w *world) { w.setPool("x", 0) }},
		{"the pools", query1[structs.NodePoolListResponse]("NodePool.List", func(q structs.QueryOptions) any { return &structs.NodePoolListRequest{QueryOptions: q} }),
			func(w *world) { w.setPool("gpu", 0) }, func(w *world) { w.setStatus(1, structs.NodeStatusDown) }},
		{"one pool", query1[structs.SingleNodePoolResponse]("NodePool.GetNodePool", func(q structs.QueryOptions) any {
			return &structs.NodePoolSpecificRequest{Name: "empty", QueryOptions: q}
		}), func(w *world) { w.setPool("empty", 0) }, func(w *world) { w.setPool("x", 0) }},
		{"the nodes of a pool", query1[structs.NodeListResponse]("NodePool.ListNodes", func(q structs.QueryOptions) any {
			return &structs.NodePoolNodesRequest{Name: "default", QueryOptions: q}
		}), func(w *world) { w.setStatus(1, structs.NodeStatusDown) }, func(w *world) { w.setPool("x", 0) }},
		{"the nodes of all pools", query1[structs.NodeListResponse]("NodePool.ListNodes", func(q structs.QueryOptions) any {
			return &structs.NodePoolNodesRequest{Name: "all", QueryOptions: q}
		}), func(w *world) { w.setStatus(1, structs.NodeStatusDown) }, func(w *world) { w.setPool("x", 0) }},
		{"the keys", query1[structs.KeyringListResponse]("Keyring.List", func(q structs.QueryOptions) any { return &structs.GenericRequest{QueryOptions: q} }),
			func(w *world) { w.addKey(structs.KeyStateActive) }, func(w *world) { w.setPool("x", 0) }},
		{"the public keys", query1[structs.KeyringListPublicResponse]("Keyring.ListPublic", func(q structs.QueryOptions) any { return &structs.GenericRequest{QueryOptions: q} }),
			func(w *world) { w.addKey(structs.KeyStateActive) }, func(w *world) { w.setPool("x", 0) }},
		{"the scheduler configuration", query1[structs.SchedulerConfigResponse]("Operator.SchedulerGetConfiguration", func(q structs.QueryOptions) any { return &structs.GenericRequest{QueryOptions: q} }),
			func(w *world) {
				w.mustApply(structs.SchedulerConfigMsg, &structs.SchedulerSetConfigRequest{Config: *structs.DefaultSchedulerConfiguration()})
			}, func(w *world) { w.setPool("x", 0) }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBubbleWorld(t)
				w.join(1)
				w.join(2)
				w.setPool("empty", time.Hour)
				answered, index := c.ask(w, 0)()
				if !answered || index < 1 {
					t.Fatalf("a query that does not wait: answered %v with index %d", answered, index)
				}
				look := c.ask(w, index)
				c.other(w)
				if answered, next := look(); answered && next <= index {
					t.Fatalf("answered with index %d to a wait for more than %d", next, index)
				} else if answered {
					look = c.ask(w, next)
					index = next
				}
				c.change(w)
				answered, next := look()
				if !answered || next <= index {
					t.Fatalf("after the change: answered %v, index %d of %d", answered, next, index)
				}
			})
		})
		t.Run(c.name+", after a restore", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBubbleWorld(t)
				w.join(1)
				w.join(2)
				w.setPool("empty", time.Hour)
				_, index := c.ask(w, 0)()
				look := c.ask(w, index)
				if answered, _ := look(); answered {
					t.Fatal("answered before anything has changed")
				}
				old := w.fsm
				w.fsm = fsm.New(fsm.Config{}) // what was restored
				w.raft.index += 100
				w.addKey(structs.KeyStateActive)
				w.setPool("empty", time.Hour)
				w.join(1)
				w.mustApply(structs.SchedulerConfigMsg, &structs.SchedulerSetConfigRequest{Config: *structs.DefaultSchedulerConfiguration()})
				old.State().Abandon()
				if answered, next := look(); !answered || next <= index {
					t.Fatalf("answered %v, index %d of %d", answered, next, index)
				}
			})
		})
	}
}

// query1 asks for a R and reports whether the answer is there and its index.
func query1[R any](name string, args func(structs.QueryOptions) any) func(w *world, index uint64) func() (bool, uint64) {
	return func(w *world, index uint64) func() (bool, uint64) {
		q := wait[R](context.Background(), w, name, args(blocking(index, time.Minute)))
		return func() (bool, uint64) {
			if !q.answered() {
				return false, 0
			}
			if q.err != nil {
				w.t.Fatal(q.err)
			}
			return true, any(q.reply).(interface{ Meta() *structs.QueryMeta }).Meta().Index
		}
	}
}

func TestBlockingQueryEndsWithThePresentResult(t *testing.T) {
	cases := []struct {
		name     string
		asked    time.Duration
		min, max time.Duration
	}{
		{"a minute", time.Minute, time.Minute, time.Minute + time.Minute/16},
		{"nothing said", 0, 300 * time.Second, 300*time.Second + 300*time.Second/16},
		{"a negative time", -time.Hour, 300 * time.Second, 300*time.Second + 300*time.Second/16},
		{"more than there is", time.Hour, 300 * time.Second, 300*time.Second + 300*time.Second/16},
		{"a nanosecond", 1, 1, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBubbleWorld(t)
				w.join(1)
				index := must(call[structs.NodeListResponse](w, "Node.List", list()))(t).Index
				times := map[time.Duration]bool{}
				for range 20 {
					q := wait[structs.NodeListResponse](t.Context(), w, "Node.List", &structs.NodeListRequest{QueryOptions: blocking(index, c.asked)})
					<-q.done
					if q.err != nil || q.reply.Index != index || len(q.reply.Nodes) != 1 {
						t.Fatalf("reply %+v, error %v", q.reply, q.err)
					}
					if q.took < c.min || q.took > c.max {
						t.Fatalf("it took %s, not %s to %s", q.took, c.min, c.max)
					}
					times[q.took] = true
				}
				if c.asked != 1 && len(times) < 10 {
					t.Errorf("20 queries ended at %d times", len(times))
				}
			})
		})
	}
}

func TestBlockingQueryEndsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubbleWorld(t)
		w.join(1)
		ctx, cancel := context.WithCancel(t.Context())
		q := wait[structs.NodeListResponse](ctx, w, "Node.List", &structs.NodeListRequest{QueryOptions: blocking(1e9, time.Hour)})
		if q.answered() {
			t.Fatal("answered")
		}
		cancel()
		if !q.answered() || !errors.Is(q.err, context.Canceled) {
			t.Errorf("error %v", q.err)
		}
	})
}

func TestClientAllocsHoldAnIdleAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubbleWorld(t)
		token := w.join(1)
		ask := func(index uint64) *structs.NodeSpecificRequest {
			req := &structs.NodeSpecificRequest{NodeID: nodeID(1), SecretID: secretOf(1), QueryOptions: blocking(index, 0)}
			req.AuthToken, req.AllowStale = token, true
			return req
		}
		first := must(call[structs.NodeClientAllocsResponse](w, "Node.GetClientAllocs", ask(0)))(t)
		if first.Index != 1 || first.Allocs == nil || len(first.Allocs) != 0 || first.MigrateTokens == nil {
			t.Fatalf("reply %+v", first)
		}
		q := wait[structs.NodeClientAllocsResponse](t.Context(), w, "Node.GetClientAllocs", ask(first.Index))
		w.join(2)
		w.setPool("x", 0)
		if q.answered() {
			t.Fatal("woken by something else")
		}
		<-q.done
		if q.err != nil || q.reply.Index != 1 || q.took < 300*time.Second {
			t.Errorf("after %s: %+v, %v", q.took, q.reply, q.err)
		}
		bad := ask(0)
		bad.SecretID = secretOf(2)
		_, err := call[structs.NodeClientAllocsResponse](w, "Node.GetClientAllocs", bad)
		wantError(t, err, nil, "node secret ID does not match")
		w.purge(1)
		must(call[structs.NodeClientAllocsResponse](w, "Node.GetClientAllocs", ask(0)))(t)
	})
}

func TestReadsOfACommonClusterWithoutWork(t *testing.T) {
	w := newFleet(t)
	if got := must(call[structs.NodeAllocsResponse](w, "Node.GetAllocs", specific("")))(t); got.Allocs == nil || len(got.Allocs) != 0 || got.Index < 1 {
		t.Errorf("allocations %+v", got)
	}
	if got := must(call[structs.NodePoolJobsResponse](w, "NodePool.ListJobs", &structs.NodePoolJobsRequest{Name: "default", QueryOptions: query("")}))(t); got.Jobs == nil || got.Index < 1 {
		t.Errorf("jobs %+v", got)
	}
	_, err := call[structs.NodePoolJobsResponse](w, "NodePool.ListJobs", &structs.NodePoolJobsRequest{Name: "none", QueryOptions: query("")})
	wantError(t, err, nil, "node pool not found")
	wantCode(t, err, 404)
	if got := must(call[structs.AllocsGetResponse](w, "Alloc.GetAllocs", &structs.AllocsGetRequest{QueryOptions: query(secretOf(1))}))(t); got.Allocs == nil || got.Index < 1 {
		t.Errorf("allocations %+v", got)
	}
	_, err = call[structs.GenericResponse](w, "Node.UpdateAlloc", &structs.NodeUpdateAllocRequest{WriteRequest: write(secretOf(1))})
	wantError(t, err, nil, "must update at least one allocation")
	n := must(call[structs.SingleNodeResponse](w, "Node.GetNode", specific("")))(t).Node
	if n.SecretID != "" || n.SecretHash != nil || n.Name != "node-1" || w.node(1).SecretHash == nil {
		t.Errorf("node %+v", n)
	}
	if got := must(call[structs.SingleNodeResponse](w, "Node.GetNode", &structs.NodeSpecificRequest{NodeID: nodeID(77), QueryOptions: query("")}))(t); got.Node != nil || got.Index < 1 {
		t.Errorf("a node that there is not: %+v", got)
	}
	_, err = call[structs.SingleNodeResponse](w, "Node.GetNode", &structs.NodeSpecificRequest{QueryOptions: query("")})
	wantError(t, err, nil, "missing node ID")
}

// names walks all pages.
func names(t *testing.T, w *world, q structs.QueryOptions) (got []string, pages int) {
	t.Helper()
	for {
		reply := must(call[structs.NodeListResponse](w, "Node.List", &structs.NodeListRequest{QueryOptions: q}))(t)
		pages++
		if q.PerPage > 0 && len(reply.Nodes) > int(q.PerPage) {
			t.Fatalf("a page of %d", len(reply.Nodes))
		}
		for _, n := range reply.Nodes {
			got = append(got, n.Name)
		}
		if reply.NextToken == "" {
			return got, pages
		}
		q.NextToken = reply.NextToken
	}
}

func TestPaging(t *testing.T) {
	w := newWorld(t)
	var all []string
	for i := range 10 {
		n := testNode(i)
		n.NodeClass = []string{"large", "small"}[i%2]
		must(w.register(n, ""))(t)
		all = append(all, n.Name)
	}
	backwards := slices.Clone(all)
	slices.Reverse(backwards)
	var odd []string
	for i := 1; i < 10; i += 2 {
		odd = append(odd, all[i])
	}
	cases := []struct {
		name  string
		q     structs.QueryOptions
		want  []string
		pages int
	}{
		{"all", structs.QueryOptions{}, all, 1},
		{"in pages of 3", structs.QueryOptions{PerPage: 3}, all, 4},
		{"in pages of 5, of which the last is full", structs.QueryOptions{PerPage: 5}, all, 2},
		{"backwards", structs.QueryOptions{Reverse: true}, backwards, 1},
		{"backwards in pages of 4", structs.QueryOptions{Reverse: true, PerPage: 4}, backwards, 3},
		{"from a token that is no node's", structs.QueryOptions{NextToken: nodeID(7) + "0"}, all[8:], 1},
		{"from a node on, itself included", structs.QueryOptions{NextToken: nodeID(7)}, all[7:], 1},
		{"backwards from a node on", structs.QueryOptions{NextToken: nodeID(2), Reverse: true}, backwards[7:], 1},
		{"filtered", structs.QueryOptions{Filter: `NodeClass == "small"`}, odd, 1},
		{"filtered in pages of 2", structs.QueryOptions{Filter: `NodeClass == "small"`, PerPage: 2}, odd, 3},
		{"filtered to nothing", structs.QueryOptions{Filter: `Status == "down"`, PerPage: 2}, nil, 1},
		{"by prefix", structs.QueryOptions{Prefix: nodeID(3)}, all[3:4], 1},
		{"by a prefix in capitals", structs.QueryOptions{Prefix: strings.ToUpper(nodeID(3)[:20])}, all, 1},
		{"by a prefix that nothing has", structs.QueryOptions{Prefix: "ffff"}, nil, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.q.Region = region
			got, pages := names(t, w, c.q)
			if diff := cmp.Diff(c.want, got); diff != "" || pages != c.pages {
				t.Errorf("%d pages (-want +got):\n%s", pages, diff)
			}
		})
	}
	refused := []struct{ name, filter, text string }{
		{"half an expression", "Name ==", "failed to create result paginator: "},
		{"a field that there is not", `Colour == "red"`, "failed to read result page: "},
		{"a very long one", strings.Repeat("not ", 2000) + "Name == x", "failed to create result paginator: "},
		{"one that would take minutes to parse", strings.Repeat("(", 200) + "Name == x" + strings.Repeat(")", 200), "failed to create result paginator: "},
	}
	for _, c := range refused {
		t.Run("a filter of "+c.name, func(t *testing.T) {
			_, err := call[structs.NodeListResponse](w, "Node.List", list(func(r *structs.NodeListRequest) { r.Filter = c.filter }))
			wantError(t, err, nil, c.text)
			wantCode(t, err, 400)
		})
	}
	t.Run("negative pages", func(t *testing.T) {
		_, err := call[structs.NodeListResponse](w, "Node.List", list(func(r *structs.NodeListRequest) { r.PerPage = -1 }))
		wantCode(t, err, 400)
	})
	t.Run("an empty list is a list", func(t *testing.T) {
		reply := must(call[structs.NodeListResponse](newWorld(t), "Node.List", list()))(t)
		if reply.Nodes == nil || reply.Index != 1 {
			t.Errorf("reply %+v", reply)
		}
	})
	t.Run("fields on request", func(t *testing.T) {
		req := list()
		req.Fields = &structs.NodeStubFields{OS: true}
		if got := must(call[structs.NodeListResponse](w, "Node.List", req))(t).Nodes[0].Attributes; got["os.name"] != "ubuntu" {
			t.Errorf("attributes %v", got)
		}
	})
}

func TestFiltersThatPeopleWrite(t *testing.T) {
	w := newFleet(t)
	for filter, want := range map[string]int{
		`Status == "ready"`: 2, `Status == "ready" and Name == "node-1"`: 1, `Name matches "^node-"`: 2,
		`NodePool != "default"`: 0, `(Datacenter == "dc1" and NodeClass == "large") or Drain == true`: 2,
		`((Name == "node-1") or (Name == "node-2")) and not (Drain == true)`: 2,
	} {
		reply, err := call[structs.NodeListResponse](w, "Node.List", list(func(r *structs.NodeListRequest) { r.Filter = filter }))
		if err != nil || len(reply.Nodes) != want {
			t.Errorf("%s: %v, %v", filter, reply, err)
		}
	}
}
