package rpc

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

func list(change ...func(*structs.NodeListRequest)) *structs.NodeListRequest {
	req := &structs.NodeListRequest{QueryOptions: query("")}
	for _, c := range change {
		c(req)
	}
	return req
}

func stale(r *structs.NodeListRequest)     { r.AllowStale = true }
func forwarded(r *structs.NodeListRequest) { r.Forwarded = true }

func TestRequestNamesARegion(t *testing.T) {
	w := newWorld(t)
	_, err := call[structs.NodeListResponse](w, "Node.List", &structs.NodeListRequest{})
	wantError(t, err, structs.ErrMissingRegion, "missing region for target RPC")
	for _, name := range []string{"Status.Ping", "Status.Leader", "Status.Peers", "Region.List", "Status.Members"} {
		body, _ := structs.EncodeBytes(&structs.GenericRequest{})
		if _, err := w.srv.ServeRPC(t.Context(), nil, name, body); err != nil {
			t.Errorf("%s without a region: %v", name, err)
		}
	}
}

// Two servers of a region: one leads, one follows and knows it.
func newPair(t testing.TB, bubble bool) (leader, follower *world) {
	at := t0
	if bubble {
		at = time.Time{}
	}
	leader, follower = newWorldAt(t, at), newWorldAt(t, at)
	follower.fsm, follower.kr = leader.fsm, leader.kr // what Raft would have brought
	follower.leader.follows("leader")
	follower.pool.worlds = map[string]*world{"leader": leader}
	return leader, follower
}

func TestFollowerForwardsToItsLeader(t *testing.T) {
	leader, follower := newPair(t, false)
	reply := must(follower.register(testNode(1), ""))(t)
	checkMint(t, leader, reply, true)
	must(follower.heartbeat(1, *reply.SignedIdentity))(t)
	if got := len(must(call[structs.NodeListResponse](follower, "Node.List", list()))(t).Nodes); got != 1 {
		t.Errorf("%d nodes", got)
	}
	if follower.pool.count() != 3 || follower.raft.count() != 1 || leader.node(1).Status != structs.NodeStatusReady {
		t.Errorf("%d calls, %d commands of the follower", follower.pool.count(), follower.raft.count())
	}
	for _, c := range follower.pool.calls {
		var flags struct{ Forwarded bool }
		if err := structs.Decode(c.body, &flags); err != nil || !flags.Forwarded {
			t.Errorf("%s was sent on as %+v, %v", c.method, flags, err)
		}
	}
	if len(follower.beats.reset) != 0 || len(leader.beats.reset) != 2 {
		t.Error("timers are the leader's")
	}
	_, err := follower.heartbeat(1, secretOf(9))
	wantError(t, err, structs.ErrPermissionDenied) // the leader's refusal, after its way back
	_, err = follower.heartbeat(1, leader.expiredIdentity(1))
	wantError(t, err, structs.ErrPermissionDenied)
}

func TestStaleReadsAreServedWhereTheyArrive(t *testing.T) {
	leader, follower := newPair(t, false)
	leader.join(1)
	follower.leader.contact = 3 * time.Second
	reply := must(call[structs.NodeListResponse](follower, "Node.List", list(stale)))(t)
	if follower.pool.count() != 0 || len(reply.Nodes) != 1 || reply.LastContact != 3*time.Second || !reply.KnownLeader {
		t.Errorf("%d calls, reply %+v", follower.pool.count(), reply)
	}
	follower.leader.follows("")
	reply = must(call[structs.NodeListResponse](follower, "Node.List", list(stale)))(t)
	if reply.KnownLeader {
		t.Error("a leader is known where none is")
	}
	reply = must(call[structs.NodeListResponse](leader, "Node.List", list()))(t)
	if reply.LastContact != 0 || !reply.KnownLeader {
		t.Errorf("on the leader: %+v", reply.QueryMeta)
	}
}

func TestStaleIsNoWayAroundTheLeaderForAChange(t *testing.T) {
	leader, follower := newPair(t, false)
	req := &structs.GenericRequest{QueryOptions: query("")}
	req.AllowStale = true
	must(call[structs.GenericResponse](follower, "System.GarbageCollect", req))(t)
	if len(leader.operator.gc) != 1 || len(follower.operator.gc) != 0 {
		t.Errorf("collected %d times by the leader, %d by the follower", len(leader.operator.gc), len(follower.operator.gc))
	}
}

func TestOtherRegions(t *testing.T) {
	in := func(region string, more ...func(*structs.NodeListRequest)) *structs.NodeListRequest {
		return list(append(more, func(r *structs.NodeListRequest) { r.Region = region })...)
	}
	t.Run("one that nobody knows", func(t *testing.T) {
		_, err := call[structs.NodeListResponse](newWorld(t), "Node.List", in("mars"))
		wantError(t, err, structs.ErrNoRegionPath, "No path to region")
	})
	t.Run("the leader is found, whichever server is asked first", func(t *testing.T) {
		for range 20 {
			w := newWorld(t)
			eu, euFollower := newPairOf(t, "eu")
			w.cluster.regions = map[string][]string{"eu": {"dead", "follower", "leader"}}
			w.pool.worlds = map[string]*world{"follower": euFollower, "leader": eu}
			must(call[structs.NodeListResponse](w, "Node.List", in("eu")))(t)
			must(call[structs.GenericResponse](w, "NodePool.UpsertNodePools", &structs.NodePoolUpsertRequest{
				NodePools: []*structs.NodePool{{Name: "gpu"}}, WriteRequest: structs.WriteRequest{Region: "eu"}}))(t)
			if p, _ := eu.fsm.State().NodePoolByName(nil, "gpu"); p == nil {
				t.Fatal("the pool is not there")
			}
		}
	})
	t.Run("a refusal is final", func(t *testing.T) {
		w := newWorld(t)
		w.cluster.regions = map[string][]string{"eu": {"a", "b", "c"}}
		w.pool.answer = func(sent) (any, error) { return nil, &transport.RemoteError{Text: "Permission denied"} }
		_, err := call[structs.NodeListResponse](w, "Node.List", in("eu"))
		wantError(t, err, structs.ErrPermissionDenied)
		if w.pool.count() != 1 {
			t.Errorf("%d servers were asked", w.pool.count())
		}
	})
	t.Run("a call that was meant for this server's region goes nowhere else", func(t *testing.T) {
		w := newWorld(t)
		w.cluster.regions = map[string][]string{"eu": {"a"}}
		_, err := call[structs.NodeListResponse](w, "Node.List", in("eu", forwarded))
		wantError(t, err, structs.ErrNoRegionPath)
		if w.pool.count() != 0 {
			t.Error("it was sent on")
		}
	})
	t.Run("status questions", func(t *testing.T) {
		w := newWorld(t)
		eu, _ := newPairOf(t, "eu")
		eu.leader.set(true, true, "10.9.9.9:4647")
		w.cluster.regions = map[string][]string{"eu": {"leader"}}
		w.pool.worlds = map[string]*world{"leader": eu}
		req := &structs.GenericRequest{}
		req.Region = "eu"
		if got := must(call[string](w, "Status.Leader", req))(t); *got != "10.9.9.9:4647" {
			t.Errorf("leader of the other region is %s", *got)
		}
		if got := must(call[[]string](w, "Status.Peers", req))(t); len(*got) != 1 {
			t.Errorf("peers %v", *got)
		}
	})
}

func newPairOf(t testing.TB, name string) (leader, follower *world) {
	leader, follower = newPair(t, false)
	for _, w := range []*world{leader, follower} {
		w.srv.cfg.Region, w.srv.cfg.AuthoritativeRegion = name, name
	}
	return leader, follower
}

func TestForwardedCallIsNotForwardedAgain(t *testing.T) {
	_, follower := newPair(t, false)
	_, err := call[structs.NodeListResponse](follower, "Node.List", list(forwarded))
	wantError(t, err, structs.ErrNoLeader, "No cluster leader")
	_, err = call[structs.NodeUpdateResponse](follower, "Node.Register", &structs.NodeRegisterRequest{
		Node: testNode(1), WriteRequest: structs.WriteRequest{Region: region, Forwarded: true}})
	wantError(t, err, structs.ErrNoLeader)
	if follower.pool.count() != 0 {
		t.Errorf("%d calls", follower.pool.count())
	}
}

func TestHoldingForALeader(t *testing.T) {
	cases := []struct {
		name string
		set  func(w *world)
		want error
	}{
		{"there is none", func(w *world) { w.leader.follows("") }, structs.ErrNoLeader},
		{"it is this server, not yet ready", func(w *world) { w.leader.set(true, false, "self") }, structs.ErrNotReady},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBubbleWorld(t)
				c.set(w)
				began := time.Now()
				_, err := w.register(testNode(1), "")
				wantError(t, err, c.want, c.want.Error())
				if d := time.Since(began); d < 5*time.Second || d > 5300*time.Millisecond {
					t.Errorf("held for %s", d)
				}
				if w.raft.count() != 1 || w.pool.count() != 0 {
					t.Error("something happened meanwhile")
				}
			})
		})
		t.Run(c.name+", until it is", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBubbleWorld(t)
				c.set(w)
				time.AfterFunc(3*time.Second, w.leader.leads)
				began := time.Now()
				must(w.register(testNode(1), ""))(t)
				if d := time.Since(began); d < 3*time.Second || d > 3200*time.Millisecond {
					t.Errorf("held for %s", d)
				}
			})
		})
		t.Run(c.name+", and the caller goes away", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBubbleWorld(t)
				c.set(w)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				began := time.Now()
				_, err := callCtx[structs.NodeListResponse](ctx, w, "Node.List", list())
				wantError(t, err, c.want)
				if d := time.Since(began); d != time.Second {
					t.Errorf("held for %s", d)
				}
			})
		})
	}
	t.Run("a forwarded call waits for this leader to become ready", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newBubbleWorld(t)
			w.leader.set(true, false, "self")
			time.AfterFunc(2*time.Second, w.leader.leads)
			must(call[structs.NodeListResponse](w, "Node.List", list(forwarded)))(t)
		})
	})
	t.Run("the leader changes while the follower holds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, follower := newPair(t, true)
			follower.leader.follows("gone")
			time.AfterFunc(time.Second, func() { follower.leader.follows("leader") })
			must(follower.register(testNode(1), ""))(t)
			if follower.pool.count() < 3 {
				t.Errorf("%d calls", follower.pool.count())
			}
		})
	})
}

// What happens to a call after a try that failed.
func TestRetries(t *testing.T) {
	remote := func(text string) error { return &transport.RemoteError{Text: text} }
	lost := func(sentIt bool) error {
		return &transport.TransportError{Addr: "leader", Op: "failed to read response", Sent: sentIt, Err: errors.New("EOF")}
	}
	cases := []struct {
		name        string
		err         error
		write, read bool // is it tried again; heartbeats and registrations are as reads are
	}{
		{"no leader there", remote("No cluster leader"), true, true},
		{"no leader there, a hop further", remote("rpc error: No cluster leader"), true, true},
		{"a leader that is not ready", remote("Not ready to serve consistent reads"), true, true},
		{"a command that may or may not be committed", remote("register node x: No cluster leader: NodeRegister not confirmed: leadership lost while committing log"), false, true},
		{"a connection that could not be made", lost(false), true, true},
		{"a connection that broke before the answer", lost(true), false, true},
		{"a refusal", remote("Permission denied"), false, false},
		{"a coded refusal", remote("RPC Error:: 400,no"), false, false},
		{"overload", remote("RPC Error:: 429,rate limit exceeded, try again later"), false, false},
	}
	for _, c := range cases {
		for _, kind := range []string{"a write", "a read", "a heartbeat", "a registration"} {
			t.Run(c.name+", of "+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newBubbleWorld(t)
					w.leader.follows("leader")
					w.pool.answer = func(sent) (any, error) {
						if len(w.pool.calls) == 1 {
							return nil, c.err
						}
						return &structs.WriteMeta{Index: 7}, nil
					}
					var err error
					again := c.write
					switch kind {
					case "a read":
						again = c.read
						_, err = call[structs.NodeListResponse](w, "Node.List", list())
					case "a heartbeat":
						again = c.read
						_, err = call[structs.NodeUpdateResponse](w, "Node.UpdateStatus", &structs.NodeUpdateStatusRequest{NodeID: nodeID(1), WriteRequest: write("")})
					case "a registration":
						again = c.read
						_, err = w.register(testNode(1), "")
					default:
						_, err = call[structs.GenericResponse](w, "NodePool.DeleteNodePools", &structs.NodePoolDeleteRequest{Names: []string{"x"}, WriteRequest: write("")})
					}
					if (err == nil) != again || (w.pool.count() == 2) != again {
						t.Errorf("%d calls, error %v", w.pool.count(), err)
					}
				})
			})
		}
	}
}

func TestCodesSurviveForwarding(t *testing.T) {
	_, follower := newPair(t, false)
	n := testNode(1)
	n.Name = ""
	_, err := follower.register(n, "")
	wantCode(t, err, 400)
	if strings.Count(err.Error(), "RPC Error:: ") != 1 {
		t.Errorf("error %q", err)
	}
}

// A server that stops says so of the calls that it was passing on, so that their callers turn to another one.
func TestACallThatIsPassedOnEndsWithTheServer(t *testing.T) {
	for name, tc := range map[string]struct {
		cause error
		want  bool // that it says so
	}{"the server stops": {transport.ErrShutdown, true}, "the caller goes": {context.Canceled, false}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.leader.follows("leader")
			ctx, cancel := context.WithCancelCause(t.Context())
			w.pool.answer = func(sent) (any, error) {
				cancel(tc.cause)
				return nil, &transport.TransportError{Addr: "leader", Op: "failed to read response", Sent: true, Err: context.Canceled}
			}
			_, err := callCtx[structs.NodeUpdateResponse](ctx, w, "Node.UpdateStatus", &structs.NodeUpdateStatusRequest{NodeID: nodeID(1), WriteRequest: write("")})
			if got := errors.Is(err, structs.ErrShutdown); got != tc.want || err == nil {
				t.Errorf("got %v", err)
			}
		})
	}
}
