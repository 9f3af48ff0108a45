//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/api"
)

// killPoints is at how many moments of a restore a server is killed.
const killPoints = 20

// slowHeartbeats leave the state alone once the nodes are registered.
const slowHeartbeats = "min_heartbeat_ttl = \"1h\"\nfailover_heartbeat_ttl = \"2h\""

// goesBack is what a server says that stops because its newest snapshot is not the cluster's.
const goesBack = "start the server again and it drops that snapshot"

// halves are two states of one cluster, as archives and as what they hold.
type halves struct {
	c        *Cluster
	archives [2][]byte
	nodes    [2][]string
}

// newHalves makes a cluster with two states. It is in the second, and no node writes to it any more.
func newHalves(t *testing.T, ctx context.Context, dir string) *halves {
	t.Helper()
	h := &halves{c: newCluster(t, ctx, dir, 3, slowHeartbeats)}
	fleet := newFleet(t, ctx, h.c, dir+"/fleet", FleetAdd{Count: 40, Servers: h.c.RPCAddrs()})
	h.save(t, ctx, 0)
	must(t, fleet.Add(FleetAdd{Count: 60, Servers: h.c.RPCAddrs()}))
	eventually(t, ctx, "get the fleet healthy", time.Minute, func(ctx context.Context) error { return fleet.healthy(ctx, 100) })
	must(t, fleet.Kill())
	h.save(t, ctx, 1)
	return h
}

func (h *halves) save(t *testing.T, ctx context.Context, which int) {
	t.Helper()
	leader, err := h.c.WaitLeader(ctx)
	must(t, err)
	h.archives[which] = saved(t, ctx, leader, false)
	list, err := nodes(ctx, leader.API)
	must(t, err)
	h.nodes[which] = sortedIDs(list)
}

// supervise starts a server, and starts it again when it has stopped because its snapshot is not the cluster's, as a supervisor
// does. It returns once the server is there to stay: it has the leader's state.
func (h *halves) supervise(t *testing.T, ctx context.Context, s *Server) {
	t.Helper()
	must(t, s.Start())
	eventually(t, ctx, "keep "+s.Name+" running", time.Minute, func(ctx context.Context) error {
		if !s.Running() {
			if !strings.Contains(s.Tail(20), goesBack) {
				return Final(fmt.Errorf("%s has stopped\n%s", s.Name, s.Tail(20)))
			}
			must(t, s.Start())
		}
		leader, err := h.c.agreedLeader(ctx)
		if err != nil {
			return err
		}
		want, err := leader.StateDigest(ctx)
		if err != nil {
			return err
		}
		got, err := s.StateDigest(ctx)
		if err == nil && got.Digest != want.Digest {
			err = fmt.Errorf("%s has digest %s at index %d, the leader %s at %d", s.Name, got.Digest, got.Index, want.Digest, want.Index)
		}
		return err
	})
}

// state waits until all servers agree and says which of the two states they are in.
func (h *halves) state(t *testing.T, ctx context.Context) int {
	t.Helper()
	_, err := h.c.WaitLeader(ctx)
	must(t, err)
	_, err = h.c.WaitSameState(ctx, false)
	must(t, err)
	var got []string
	for _, s := range h.c.Servers {
		list, err := nodesWith(ctx, s.API, &api.QueryOptions{AllowStale: true})
		must(t, err)
		ids := sortedIDs(list)
		if got != nil && !slices.Equal(got, ids) {
			t.Fatalf("%s has another set of nodes than the servers before it:\n%s", s.Name, cmp.Diff(got, ids))
		}
		got = ids
	}
	for i, want := range h.nodes {
		if slices.Equal(got, want) {
			return i
		}
	}
	t.Fatalf("the cluster has %d nodes, which is neither state:\n%s", len(got), cmp.Diff(h.nodes[1], got))
	return 0
}

// A server, the leader or a follower, is killed in the middle of a restore, at moments all over it. Afterwards the cluster has
// the old state or the new one, and all of its servers have the same.
func TestAServerKilledDuringARestoreLeavesTheOldStateOrTheNew(t *testing.T) {
	ctx, dir := scenario(t)
	h := newHalves(t, ctx, dir)
	now := h.state(t, ctx)
	var longest time.Duration
	for range 4 {
		start := time.Now()
		restored(t, ctx, h.c.Servers[0], h.archives[1-now])
		longest = max(longest, time.Since(start))
		if after := h.state(t, ctx); after != 1-now {
			t.Fatal("a restore that nobody disturbed has not changed the state")
		}
		now = 1 - now
	}

	var kept, replaced int
	for point := range killPoints {
		leader, err := h.c.WaitLeader(ctx)
		must(t, err)
		victim := leader
		if point%2 == 1 {
			victim = h.c.Followers(leader)[point/2%2]
		}
		through := h.c.Followers(victim)[point/4%2] // one that goes on
		after := longest * time.Duration(point+1) / killPoints
		answer := make(chan int, 1)
		go func() {
			status, _, err := through.RestoreSnapshot(ctx, h.archives[1-now])
			if err != nil {
				status = 0
			}
			answer <- status
		}()
		status := -1
		var due <-chan time.Time // never: just when it was acknowledged
		if point < killPoints-2 {
			due = time.After(after)
		}
		select {
		case status = <-answer:
		case <-due:
		}
		must(t, victim.Kill())
		if status < 0 {
			status = <-answer
		}
		if point%4 < 2 { // the others go on without it first, or it is back before they have noticed
			_, err = h.c.WaitLeader(ctx)
			must(t, err)
		}
		h.supervise(t, ctx, victim)
		then := h.state(t, ctx)
		t.Logf("point %d: %s (leader: %t) killed after %s, answer %d: %s state", point, victim.Name, victim == leader,
			after.Round(time.Millisecond), status, map[bool]string{true: "old", false: "new"}[then == now])
		switch {
		case then != now:
			replaced++
		case status == http.StatusOK:
			t.Errorf("point %d: the restore was acknowledged, and the old state is there", point)
		default:
			kept++
		}
		now = then
	}
	for _, s := range h.c.Servers {
		if left := unfinished(t, s.Dir); len(left) > 0 {
			t.Errorf("%s has kept %v", s.Name, left)
		}
	}
	if kept == 0 || replaced == 0 {
		t.Errorf("%d restores left the old state, %d the new one: want some of each, or else the moments were not spread over a restore", kept, replaced)
	}
}

// unfinished lists the files and folders that were being written when a server was killed.
func unfinished(t *testing.T, dir string) (left []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if name := filepath.Base(path); strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".tmp") {
			left = append(left, path)
		}
		return err
	}))
	return left
}

// The leader has restored a snapshot and dies before any other server has it. The others go on with the old state, and the
// leader, when it comes back, must do so too, although the state that it has on disk is the new one.
func TestALeaderThatAloneHasTheRestoredStateGivesItUp(t *testing.T) {
	ctx, dir := scenario(t)
	h := newHalves(t, ctx, dir)
	now := h.state(t, ctx)
	leader, err := h.c.WaitLeader(ctx)
	must(t, err)
	followers := h.c.Followers(leader)
	answer := h.restoreAlone(t, ctx, leader, followers, h.archives[1-now])
	eventually(t, ctx, "restore on the leader", 10*time.Second, func(ctx context.Context) error {
		list, err := nodesWith(ctx, leader.API, &api.QueryOptions{AllowStale: true})
		if err == nil && !slices.Equal(sortedIDs(list), h.nodes[1-now]) {
			err = fmt.Errorf("it has %d nodes", len(list))
		}
		return err
	})
	must(t, leader.Kill())
	t.Logf("restore: %v", <-answer)
	for _, s := range followers { // what has been sent to them already must not reach them
		must(t, s.Kill())
		must(t, s.Start())
	}
	next, err := h.c.WaitLeader(ctx)
	must(t, err)
	newPool(t, ctx, next.API, "meanwhile", time.Hour)

	h.supervise(t, ctx, leader)
	if !strings.Contains(leader.Log(), goesBack) {
		t.Errorf("%s has not told that it drops its snapshot\n%s", leader.Name, leader.Tail(20))
	}
	if then := h.state(t, ctx); then != now {
		t.Error("the cluster has the state that only one server knew")
	}
}

// restoreAlone has the leader begin with a restore, halts the followers and sends the rest. They must be there when it begins,
// since a leader that nobody follows refuses; and it stays leader for half a second without them.
func (h *halves) restoreAlone(t *testing.T, ctx context.Context, leader *Server, followers []*Server, archive []byte) <-chan error {
	t.Helper()
	body, send := io.Pipe()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, leader.HTTP+snapshotPath, body)
	must(t, err)
	leader.cluster.authorize(req)
	answer := make(chan error, 1)
	go func() {
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			err = errors.Join(fmt.Errorf("answer %s", res.Status), res.Body.Close())
		}
		answer <- err
	}()
	_, err = send.Write(archive[:len(archive)/2])
	must(t, err)
	select {
	case err := <-answer:
		t.Fatalf("restore ended before the archive did: %v", err)
	case <-time.After(200 * time.Millisecond): // it can't be seen from outside that it has begun
	}
	for _, s := range followers {
		must(t, s.Suspend())
	}
	_, err = send.Write(archive[len(archive)/2:])
	must(t, errors.Join(err, send.Close()))
	return answer
}
