package server

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/rollcall-id/rollcall/keyring"
	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

// fixture returns a file that was written by a Nomad 1.10.5 server; its README is beside it.
func fixture(t *testing.T, name string) []byte {
	t.Helper()
	dir := "../replay/testdata/nomad-1.10.5"
	if name == "early.snap" {
		dir = "../fsm/testdata/nomad-1.10.5"
	}
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// listenAt opens a port that was in use a moment ago.
func listenAt(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }

// fixtureDataDir returns a copy of that server's data directory.
func fixtureDataDir(t *testing.T) string {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(fixture(t, "server-datadir.tar.gz")))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for in := tar.NewReader(zip); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return filepath.Join(dir, "server")
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			if err := os.MkdirAll(path, 0o700); err != nil {
				t.Fatal(err)
			}
			continue
		}
		b, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, string(b))
	}
}

// fixtureNodes returns the nodes as their agents registered them, with their secrets, which only the log has in clear.
func fixtureNodes(t *testing.T) map[string]*structs.Node {
	t.Helper()
	store, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(fixtureDataDir(t), "raft", "raft.db"), MsgpackUseNewTimeFormat: true})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	last, err := store.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*structs.Node{}
	for i := uint64(1); i <= last; i++ {
		var l raft.Log
		if err := store.GetLog(i, &l); err != nil {
			t.Fatal(err)
		}
		if l.Type != raft.LogCommand || structs.MessageType(l.Data[0]) != structs.NodeRegisterMsg {
			continue
		}
		var req structs.NodeRegisterRequest
		if err := structs.Decode(l.Data[1:], &req); err != nil {
			t.Fatal(err)
		}
		out[req.Node.ID] = req.Node
	}
	return out
}

// jwksOf returns public keys by ID, each as a map of what is published of it.
func jwksOf(t *testing.T, set any) map[string]map[string]any {
	t.Helper()
	text, isText := set.([]byte)
	if !isText {
		var err error
		if text, err = json.Marshal(set); err != nil {
			t.Fatal(err)
		}
	}
	var read struct{ Keys []map[string]any }
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]any{}
	for _, k := range read.Keys {
		out[k["kid"].(string)] = k
	}
	return out
}

// checkImported compares what the server has with what the Nomad server answered about it.
func checkImported(t *testing.T, s *Server) {
	t.Helper()
	if diff := cmp.Diff(jwksOf(t, fixture(t, "jwks.json")), jwksOf(t, s.keyring.JWKS())); diff != "" {
		t.Errorf("published keys, -want +got:\n%s", diff)
	}
	pools, err := s.fsm.State().NodePools(nil)
	if err != nil {
		t.Fatal(err)
	}
	for p := range pools {
		if p.NodeIdentityTTL != structs.DefaultNodeIdentityTTL || len(p.Hash) != 32 {
			t.Errorf("pool %s: TTL %s, hash %x", p.Name, p.NodeIdentityTTL, p.Hash)
		}
	}
	var want []struct{ ID, Name, NodePool, Status string }
	if err := json.Unmarshal(fixture(t, "nodes.json"), &want); err != nil {
		t.Fatal(err)
	}
	for _, w := range want {
		n, err := s.fsm.State().NodeByID(nil, w.ID)
		if err != nil || n == nil || n.Name != w.Name || n.NodePool != w.NodePool || n.Status != w.Status {
			t.Errorf("node %+v is %+v, %v", w, n, err)
		}
	}
	if n := s.fsm.State().NodeCount(); n != len(want) || n != 40 {
		t.Errorf("%d nodes, want %d", n, len(want))
	}
}

// signedBy returns an identity for the node that the replicated key has signed, active or not.
func signedBy(t *testing.T, s *Server, keyID string, n *structs.Node) string {
	t.Helper()
	keys, err := rootKeys(s.fsm.State(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.New(s.keyringConfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if k.KeyID == keyID {
			k = k.Copy()
			k.State = structs.KeyStateActive
			ring.Set(t.Context(), []*structs.RootKey{k})
		}
	}
	signed, err := ring.Sign(structs.NewNodeClaims(testRegion, n, structs.Lifetime{ID: newUUID(), Now: time.Now(), TTL: time.Hour}))
	if err != nil {
		t.Fatal(err)
	}
	return signed.Token
}

// keepKeys makes no rotation due, however long ago the fixture was made.
func keepKeys(c *Config) { c.Keys.Policy.RotationThreshold = 100 * 365 * 24 * time.Hour }

func TestAServerStartsOnTheDataDirectoryOfANomadServer(t *testing.T) {
	agents := fixtureNodes(t)
	conf := testConfig(t, "s1", 1)
	conf.DataDir = fixtureDataDir(t)
	keepKeys(&conf)
	s := start(t, conf)
	waitLeader(t, s)
	checkImported(t, s)
	openOn(t, s, "node_identity,state_digest")

	// It votes by its ID and has told Raft its new address.
	eventually(t, "the address in Raft's configuration", func() error {
		peers, err := s.RaftPeers()
		if err != nil || !slices.Equal(peers, []string{conf.RPCAdvertise}) {
			return fmt.Errorf("peers %v, want %s: %v", peers, conf.RPCAdvertise, err)
		}
		return nil
	})

	pool := newPool(t)
	const oldKey, activeNow = "6bbe0afe-7825-0fb8-6e68-e9e4f1b176cc", "562e28bb-2fd7-809c-57c5-26c9a2279a9d"
	if got := activeKey(t, s); got != activeNow {
		t.Errorf("active key %s, want %s", got, activeNow)
	}
	for _, n := range agents {
		for _, key := range []string{oldKey, activeNow} {
			if _, err := s.keyring.Verify(signedBy(t, s, key, n), time.Now()); err != nil {
				t.Errorf("what key %s signed does not verify: %v", key, err)
			}
		}
		break
	}

	tokens := map[string]string{}
	for id, n := range agents {
		stored, err := s.fsm.State().NodeByID(nil, id)
		if err != nil || stored == nil {
			t.Fatalf("node %s: %v, %v", id, stored, err)
		}
		// An agent of before identities goes on with its secret.
		if reply, err := heartbeat(pool, t, s.RPCAddr(), id, n.SecretID, false); err != nil || reply.SignedIdentity != nil {
			t.Fatalf("heartbeat of an old agent: %+v, %v", reply, err)
		}
		// Upgraded, it registers again, and gets its first identity.
		n.Attributes = n.Attributes.With(structs.AttrNomadVersion, "2.0.5")
		reply := register(t, pool, s.RPCAddr(), n.Copy(), n.SecretID)
		if reply.SignedIdentity == nil {
			t.Fatalf("node %s got no identity", id)
		}
		tokens[id] = *reply.SignedIdentity
		claims, err := s.keyring.Verify(tokens[id], time.Now())
		if err != nil || claims.Node.NodeID != id || claims.Node.Pool != stored.NodePool {
			t.Errorf("identity of node %s: %+v, %v", id, claims, err)
		}
	}
	if len(tokens) != 40 {
		t.Errorf("%d nodes got identities, want 40", len(tokens))
	}

	// The key that signed them stays for as long as one of them is in use.
	next := rotateKey(t, s)
	del := func(id string) error {
		return s.RPC(t.Context(), "Keyring.Delete", &structs.KeyringDeleteRequest{
			KeyID: id, Force: true, WriteRequest: structs.WriteRequest{Region: testRegion},
		}, &structs.GenericResponse{})
	}
	for id, token := range tokens {
		if err := del(activeNow); err == nil {
			t.Fatal("a key in use was deleted")
		}
		if reply, err := heartbeat(pool, t, s.RPCAddr(), id, token, true); err != nil || reply.SignedIdentity == nil {
			t.Fatalf("renewal of node %s: %v", id, err)
		}
	}
	eventually(t, "the old key, no longer used, goes", func() error { return del(activeNow) })
	if got := keyStates(t, s); got[next] != structs.KeyStateActive || got[oldKey] == "" || len(got) != 2 {
		t.Errorf("keys %v, want %s active, and %s, which encrypts a variable", got, next, oldKey)
	}
}

func TestNomadSnapshotsAreRestoredIntoARunningCluster(t *testing.T) {
	servers := cluster(t, 3, func(c *Config) {
		c.DataDir = t.TempDir()
		keepKeys(c)
	})
	pool := newPool(t)
	for _, name := range []string{"early.snap", "state.snap"} {
		restoreFixture(t, pool, servers[0], name)
		for _, s := range servers {
			eventually(t, name+" on "+s.cfg.NodeName, func() error {
				gpu, err := s.fsm.State().NodePoolByName(nil, "gpu") // which was deleted in between
				if err == nil && (gpu != nil) != (name == "early.snap") {
					err = fmt.Errorf("pool gpu is %v", gpu)
				}
				return err
			})
			openOn(t, s, "node_identity,state_digest")
		}
		sameDigests(t, servers...)
	}
	for _, s := range servers {
		eventually(t, "the keys on "+s.cfg.NodeName, func() error {
			if n := len(s.keyring.JWKS().Keys); n != 2 {
				return fmt.Errorf("%d keys are published", n)
			}
			return nil
		})
		checkImported(t, s)
	}
	for id, n := range fixtureNodes(t) {
		n.Attributes = n.Attributes.With(structs.AttrNomadVersion, "2.0.5")
		reply := register(t, pool, servers[1].RPCAddr(), n.Copy(), n.SecretID)
		if reply.SignedIdentity == nil {
			t.Fatalf("node %s got no identity", id)
		}
		renew(t, pool, servers[2].RPCAddr(), id, *reply.SignedIdentity)
	}
}

// restoreFixture restores an archive that a Nomad 1.10.5 server made.
func restoreFixture(t *testing.T, pool *transport.Pool, s *Server, name string) {
	t.Helper()
	if reply := restore(t, dialStream(t, pool, s, "Operator.SnapshotRestore"), fixture(t, name), structs.StreamEOF); reply.ErrorMsg != "" {
		t.Fatalf("restore %s: %s", name, reply.ErrorMsg)
	}
}
