//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/e2e/wire"
)

// resetIndex is how a server says what its reset file is to hold.
var resetIndex = regexp.MustCompile(`reset index: (\d+)`)

// resetACL lets a server bootstrap again whose state says that it has, but has no tokens: a compatible archive goes without them.
func resetACL(t *testing.T, ctx context.Context, s *Server) {
	t.Helper()
	err := s.bootstrap(ctx)
	if err == nil {
		t.Fatal("access control was bootstrapped without a reset")
	}
	said := resetIndex.FindStringSubmatch(err.Error())
	if said == nil {
		t.Fatalf("bootstrap: %v, want a reset index", err)
	}
	must(t, os.WriteFile(filepath.Join(s.Dir, "server", "acl-bootstrap-reset"), []byte(said[1]), 0o600))
}

// A compatible archive is read by somebody who has the fact sheet and nothing else, and restores the cluster here all the same.
func TestACompatibleSnapshotIsReadByOthersAndRestored(t *testing.T) {
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir, 1, fastHeartbeats)
	s := c.Servers[0]
	newPool(t, ctx, s.API, "hour", time.Hour)
	fleet := newFleet(t, ctx, c, dir+"/fleet", FleetAdd{Count: 5, Pool: "hour", Servers: c.RPCAddrs()})
	commandOK(t, ctx, c, nil, "operator", "autopilot", "set-config", "-address", s.HTTP, "-max-trailing-logs", "777")

	own := saved(t, ctx, s, false)
	if _, _, err := wire.ReadArchive(bytes.NewReader(own)); err == nil {
		t.Error("others read what the server saves as it is: nothing needs to be left out any more")
	}
	whole, path := filepath.Join(dir, "own.snap"), filepath.Join(dir, "compatible.snap")
	must(t, os.WriteFile(whole, own, 0o600))
	var made struct {
		LeftOut []struct {
			Type    int
			Records int
			Loses   string
		}
	}
	commandOK(t, ctx, c, &made, "operator", "snapshot", "convert", "-json", "-out", path, whole)
	left := map[int]int{}
	for _, l := range made.LeftOut {
		left[l.Type] = l.Records
	}
	if left[100] != 1 || left[102] != 1 || left[103] == 0 {
		t.Errorf("left out are %+v", made.LeftOut)
	}
	converted, err := os.ReadFile(path)
	must(t, err)
	meta, records, err := wire.ReadArchive(bytes.NewReader(converted))
	must(t, err)
	if meta.Version != 1 || meta.Index == 0 || len(meta.Configuration.Servers) != 1 || meta.Configuration.Servers[0].Address != s.RPC {
		t.Errorf("meta.json says %+v", meta)
	}
	nodes := map[string]bool{}
	for _, v := range records["Node"] {
		node := v.(wire.Map)
		nodes[node["ID"].(string)] = true
		if node["NodePool"] != "hour" || node["SecretID"] != "" || node["Status"] != "ready" {
			t.Errorf("node %v is %v, %v", node["ID"], node["NodePool"], node["Status"])
		}
	}
	want := map[string]bool{}
	for id := range fleet.Held() {
		want[id] = true
	}
	if diff := cmp.Diff(want, nodes); diff != "" {
		t.Errorf("nodes that others see (-want +got):\n%s", diff)
	}
	if len(records["RootKey"]) == 0 || len(records["NodePool"]) != 3 || len(records["ClusterMetadata"]) != 1 || len(records["Index"]) == 0 {
		t.Errorf("others see %d root keys, %d pools, %d cluster IDs", len(records["RootKey"]), len(records["NodePool"]), len(records["ClusterMetadata"]))
	}

	restored(t, ctx, s, converted)
	resetACL(t, ctx, s)
	_, err = c.WaitLeader(ctx)
	must(t, err)
	got, err := s.API.Nodes(ctx, nil)
	must(t, err)
	if len(got.Value) != len(want) {
		t.Errorf("after the restore there are %d nodes, want %d", len(got.Value), len(want))
	}
	digest, err := s.StateDigest(ctx)
	must(t, err)
	if digest.Digest == "" || digest.Base == "" {
		t.Errorf("after the restore the digest is %+v", digest)
	}
	verifyAll(t, ctx, c.Issuer, fleet.Held())
	var pilot struct{ MaxTrailingLogs int }
	commandOK(t, ctx, c, &pilot, "operator", "autopilot", "get-config", "-json", "-address", s.HTTP)
	if pilot.MaxTrailingLogs == 777 {
		t.Error("autopilot's configuration is back, which was left out")
	}
}
