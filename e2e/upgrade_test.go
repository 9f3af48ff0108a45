//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/rollcall-id/rollcall/structs"
)

// oldRefVariable names a commit or tag of this project to upgrade from, once there is one that says less than this.
const oldRefVariable = "ROLLCALL_OLD_REF"

// oldVersion is what the binary says of itself that stands for the older one: less than any feature asks for.
const oldVersion = "0.0.9"

// buildOld builds what is upgraded from. same tells that it is this very code, with the number of another release.
func buildOld(t *testing.T, ctx context.Context, dir string) (path string, same bool) {
	t.Helper()
	root, err := moduleRoot(ctx)
	must(t, err)
	path = filepath.Join(dir, "rollcall-old")
	ldflags := "-s -w"
	if ref := os.Getenv(oldRefVariable); ref != "" {
		t.Logf("upgrading from %s", ref)
		tarball, src := filepath.Join(dir, "old.tar"), filepath.Join(dir, "old")
		must(t, os.MkdirAll(src, 0o700))
		execute(t, ctx, root, "git", "archive", "--format=tar", "-o", tarball, ref)
		execute(t, ctx, src, "tar", "-xf", tarball)
		root = src
	} else {
		same = true
		ldflags += " -X github.com/rollcall-id/rollcall/internal/version.Version=" + oldVersion
		t.Logf("BOTH VERSIONS ARE THE SAME CODE: this upgrade shows the procedure and the feature gates, not that old formats are read; set %s to a tag or commit to upgrade from it", oldRefVariable)
	}
	execute(t, ctx, root, "go", "build", "-trimpath", "-buildvcs=false", "-tags", buildTags, "-ldflags", ldflags, "-o", path, "./cmd/rollcall")
	return path, same
}

func execute(t *testing.T, ctx context.Context, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// features are those that a server says are in use.
func features(ctx context.Context, s *Server) (string, error) {
	self, err := s.API.Self(ctx)
	if err != nil {
		return "", err
	}
	return self.Stats["rollcall"]["features"], nil
}

func wantFeatures(t *testing.T, ctx context.Context, c *Cluster, want string) {
	t.Helper()
	eventually(t, ctx, "agree on the features in use", 90*time.Second, func(ctx context.Context) error {
		for _, s := range c.Running() {
			if got, err := features(ctx, s); err != nil || got != want {
				return fmt.Errorf("%s uses %q, want %q: %w", s.Name, got, want, err)
			}
		}
		return nil
	})
}

// sameStates waits until all servers show the same digest after the same log entry.
func sameStates(t *testing.T, ctx context.Context, c *Cluster) {
	t.Helper()
	eventually(t, ctx, "agree on the state", time.Minute, func(ctx context.Context) error {
		var first structs.StateDigest
		for i, s := range c.Servers {
			var d structs.StateDigest
			if err := s.GetJSON(ctx, "/v1/operator/digest?stale", &d); err != nil {
				return err
			}
			if i == 0 {
				first = d
			}
			if d.Digest != first.Digest || d.Digest == "" {
				return fmt.Errorf("%s has digest %q after entry %d, %s has %q after entry %d", c.Servers[0].Name, first.Digest, first.Index, s.Name, d.Digest, d.Index)
			}
		}
		return nil
	})
}

// Three servers are upgraded one after the other while a fleet lives on them and grows. Leadership moves, to a new server
// among old ones too. Nobody notices; what only all of them can do begins when the last one is done.
func TestServersAreUpgradedOneByOneUnderLoad(t *testing.T) {
	ctx, dir := scenario(t)
	old, same := buildOld(t, ctx, dir)
	c := prepareCluster(t, dir, 3, fastHeartbeats)
	for _, s := range c.Servers {
		must(t, s.StartBy(old))
	}
	leader, err := c.WaitLeader(ctx)
	must(t, err)
	must(t, c.WaitVoters(ctx))
	const poolTTL = 45 * time.Second // renewed after 30 s
	newPool(t, ctx, leader.API, "short", poolTTL)
	const first, more = 60, 20
	fleet := newFleet(t, ctx, c, dir+"/fleet", FleetAdd{Count: first, Pool: "short", Servers: c.RPCAddrs()})
	if same {
		wantFeatures(t, ctx, c, "node_identity")
	}
	began := time.Now()
	verified := verifyAlways(ctx, c.Issuer, fleet)

	order := append(c.Followers(leader), leader)
	var acknowledged []string
	count := first
	for i, s := range order {
		must(t, fleet.Add(FleetAdd{Count: more, Pool: "short", Servers: c.RPCAddrs()}))
		count += more
		must(t, fleet.Renew())
		must(t, s.Stop(ctx))
		status, err := fleet.Status(ctx)
		must(t, err)
		acknowledged = append(acknowledged, status.Registered...)
		must(t, s.Start())
		_, err = c.WaitLeader(ctx)
		must(t, err)
		must(t, c.WaitVoters(ctx))
		eventually(t, ctx, "get the fleet healthy with "+s.Name+" upgraded", time.Minute, func(ctx context.Context) error {
			return fleet.healthy(ctx, count)
		})
		if i == 0 {
			leadWith(t, ctx, c, s)
			must(t, fleet.Renew())
			if same {
				wantFeatures(t, ctx, c, "node_identity")
			}
		}
	}
	renewedSince(t, ctx, fleet, time.Now(), count)
	checked, err := verified()
	must(t, err)
	if checked < count {
		t.Errorf("%d identities were verified, want more than %d", checked, count)
	}
	wantFeatures(t, ctx, c, "node_identity,state_digest")
	sameStates(t, ctx, c)

	list, err := nodes(ctx, c.Servers[0].API)
	must(t, err)
	status, err := fleet.Status(ctx)
	must(t, err)
	for _, id := range append(acknowledged, status.Registered...) {
		if list[id] == nil {
			t.Errorf("node %s was told that it is registered, and is not", id)
		}
	}
	for id, n := range list {
		if n.Status != structs.NodeStatusReady {
			t.Errorf("node %s is %s", id, n.Status)
		}
	}
	if len(list) != count {
		t.Errorf("%d nodes, want %d", len(list), count)
	}
	noneMissed(t, ctx, c.Servers[0].API, list)
	t.Logf("%d nodes, %d identities verified, %s", count, checked, time.Since(began).Round(time.Second))
}

// leadWith makes the server the leader.
func leadWith(t *testing.T, ctx context.Context, c *Cluster, s *Server) {
	t.Helper()
	eventually(t, ctx, "make "+s.Name+" the leader", time.Minute, func(ctx context.Context) error {
		leader, err := c.agreedLeader(ctx)
		if err != nil || leader == s {
			return err
		}
		if _, err := leader.API.TransferLeadership(ctx, structs.RaftIDAddress{Address: s.RPC}, nil); err != nil {
			return err
		}
		return fmt.Errorf("%s leads", leader.Name)
	})
}

// nomadFiles is what a Nomad 1.10.5 server wrote, see the README beside it.
const nomadFiles = "../replay/testdata/nomad-1.10.5"

// unpackNomad writes that server's directory below dir, and returns its nodes as their agents registered them.
func unpackNomad(t *testing.T, dir string) map[string]*structs.Node {
	t.Helper()
	archive, err := os.Open(filepath.Join(nomadFiles, "server-datadir.tar.gz"))
	must(t, err)
	defer archive.Close()
	zip, err := gzip.NewReader(archive)
	must(t, err)
	for in := tar.NewReader(zip); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			must(t, os.MkdirAll(path, 0o700))
			continue
		}
		b, err := io.ReadAll(in)
		must(t, err)
		must(t, os.WriteFile(path, b, 0o600))
	}
	store, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(dir, "server", "raft", "raft.db"), MsgpackUseNewTimeFormat: true})
	must(t, err)
	defer store.Close()
	last, err := store.LastIndex()
	must(t, err)
	out := map[string]*structs.Node{}
	for i := uint64(1); i <= last; i++ {
		var l raft.Log
		must(t, store.GetLog(i, &l))
		if l.Type == raft.LogCommand && structs.MessageType(l.Data[0]) == structs.NodeRegisterMsg {
			var req structs.NodeRegisterRequest
			must(t, structs.Decode(l.Data[1:], &req))
			out[req.Node.ID] = req.Node
		}
	}
	return out
}

// keepKeys makes no rotation due.
const keepKeys = "root_key_rotation_threshold = \"876000h\"\n"

// becomeNode starts an agent on a machine that was a node of the old cluster: its ID and its secret are there.
func becomeNode(t *testing.T, c *Cluster, n *structs.Node) *Agent {
	t.Helper()
	a, err := c.NewAgent(AgentConfig{Name: n.Name, Pool: n.NodePool})
	must(t, err)
	t.Cleanup(a.API.Close)
	must(t, os.MkdirAll(a.StateDir(), 0o700))
	must(t, os.WriteFile(filepath.Join(a.StateDir(), "client-id"), []byte(n.ID), 0o600))
	must(t, os.WriteFile(filepath.Join(a.StateDir(), "secret-id"), []byte(n.SecretID), 0o600))
	must(t, a.Start())
	return a
}

// checkNomadState compares a server's answers with those of the Nomad server.
func checkNomadState(t *testing.T, ctx context.Context, s *Server) {
	t.Helper()
	eventually(t, ctx, "publish the old keys on "+s.Name, 30*time.Second, func(ctx context.Context) error {
		keys, err := s.PublishedKeys(ctx)
		want := map[string]string{"562e28bb-2fd7-809c-57c5-26c9a2279a9d": "RS256", "6bbe0afe-7825-0fb8-6e68-e9e4f1b176cc": "RS256"}
		if err == nil && !maps.Equal(keys, want) {
			err = fmt.Errorf("it publishes %v, want %v", keys, want)
		}
		return err
	})
	pools, err := s.API.NodePools(ctx, nil)
	must(t, err)
	for _, p := range pools.Value {
		if p.NodeIdentityTTL != structs.DefaultNodeIdentityTTL {
			t.Errorf("pool %s has TTL %s", p.Name, p.NodeIdentityTTL)
		}
	}
	list, err := nodes(ctx, s.API)
	must(t, err)
	if len(list) != 40 {
		t.Errorf("%s has %d nodes, want 40", s.Name, len(list))
	}
}

// checkIdentity verifies an agent's identity as a stranger does.
func checkIdentity(t *testing.T, ctx context.Context, issuer string, a *Agent, nodeID string) Token {
	t.Helper()
	raw, err := a.Identity()
	must(t, err)
	v, err := NewVerifier(ctx, issuer)
	must(t, err)
	claims, err := v.Verify(ctx, raw)
	must(t, err)
	if claims["nomad_node_id"] != nodeID {
		t.Errorf("identity of %s is for node %v, want %s", a.Name, claims["nomad_node_id"], nodeID)
	}
	token, err := ParseToken(raw)
	must(t, err)
	return token
}

func TestANomadServersDirectoryIsTakenOverWithItsNodes(t *testing.T) {
	ctx, dir := scenario(t)
	c := prepareCluster(t, dir, 1, keepKeys)
	s := c.Servers[0]
	known := unpackNomad(t, s.Dir)
	must(t, c.Start(ctx))
	checkNomadState(t, ctx, s)
	wantFeatures(t, ctx, c, "node_identity,state_digest")

	agents := map[string]*Agent{}
	for _, id := range slices.Sorted(maps.Keys(known))[:3] {
		agents[id] = becomeNode(t, c, known[id])
	}
	for id, a := range agents {
		n, err := a.WaitReady(ctx, time.Minute, s.API)
		must(t, err)
		if n.ID != id || n.CreateIndex > 96 {
			t.Errorf("%s is node %s, created at %d; want the old record of %s", a.Name, n.ID, n.CreateIndex, id)
		}
		if token := checkIdentity(t, ctx, c.Issuer, a, id); token.Algorithm != "RS256" {
			t.Errorf("the identity of %s is signed with %s, want the old cluster's key", a.Name, token.Algorithm)
		}
	}

	// A restart reads what this version has written after what the other had.
	must(t, s.Stop(ctx))
	must(t, c.Start(ctx))
	checkNomadState(t, ctx, s)
	for id, a := range agents {
		_, err := a.WaitReady(ctx, time.Minute, s.API)
		must(t, err)
		checkIdentity(t, ctx, c.Issuer, a, id)
	}
}

func TestNomadSnapshotsAreRestoredIntoAClusterOfThree(t *testing.T) {
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir, 3, keepKeys)
	known := unpackNomad(t, filepath.Join(dir, "nomad"))
	for _, path := range []string{"../fsm/testdata/nomad-1.10.5/early.snap", nomadFiles + "/state.snap"} {
		archive, err := os.ReadFile(path)
		must(t, err)
		must(t, c.Servers[1].API.RestoreSnapshot(ctx, nil, bytes.NewReader(archive), int64(len(archive))))
		_, err = c.WaitLeader(ctx) // bootstraps access control anew, for there are no tokens in the archive
		must(t, err)
	}
	for _, s := range c.Servers {
		checkNomadState(t, ctx, s)
	}
	sameStates(t, ctx, c)
	for _, id := range slices.Sorted(maps.Keys(known))[:2] {
		a := becomeNode(t, c, known[id])
		_, err := a.WaitReady(ctx, time.Minute, c.Servers[0].API)
		must(t, err)
		checkIdentity(t, ctx, c.Issuer, a, id)
	}
}
