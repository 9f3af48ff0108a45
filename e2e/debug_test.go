//go:build e2e

package e2e

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/api"
)

// debugArchive is what an archive of operator debug has.
type debugArchive struct {
	files    map[string]string
	manifest struct {
		Interrupted         bool
		Agents, Unreachable []string
	}
}

// readDebugArchive reads it to its end, checksums included.
func readDebugArchive(t *testing.T, path string) debugArchive {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	zr, err := gzip.NewReader(f)
	must(t, err)
	d := debugArchive{files: map[string]string{}}
	for tr := tar.NewReader(zr); ; {
		head, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		content, err := io.ReadAll(tr)
		must(t, err)
		d.files[strings.TrimPrefix(head.Name, "rollcall-debug/")] = string(content)
	}
	must(t, json.Unmarshal([]byte(d.files["manifest.json"]), &d.manifest))
	return d
}

// check finds what there is to be of each server, and none of the secrets anywhere.
func (d debugArchive) check(t *testing.T, servers []*Server, secrets map[string]string) {
	t.Helper()
	for _, s := range servers {
		own := "servers/" + s.Name + ".global/"
		for name, part := range map[string]string{
			"intervals/0001/" + own + "self.json": `"` + s.Name + `.global"`, "intervals/0001/" + own + "metrics.json": `"Gauges"`,
			"intervals/0001/" + own + "digest.json": `"Digest"`, own + "host.json": `"OS"`, own + "goroutines.txt": "goroutine ", own + "heap.prof": "\x1f\x8b",
			own + "profile.prof": "\x1f\x8b",
		} {
			if !strings.Contains(d.files[name], part) {
				t.Errorf("%s has %.200q, want %q in it", name, d.files[name], part)
			}
		}
		if _, ok := d.files[own+"monitor.log"]; !ok { // a server to which nothing happens logs nothing
			t.Errorf("the archive does not have the log of %s", s.Name)
		}
		var self struct {
			Config map[string]any               `json:"config"`
			Stats  map[string]map[string]string `json:"stats"`
		}
		must(t, json.Unmarshal([]byte(d.files["intervals/0001/"+own+"self.json"]), &self))
		if self.Config["NodeName"] != s.Name || self.Stats["raft"]["last_log_index"] == "" || self.Stats["raft"]["state"] == "" {
			t.Errorf("%s tells of itself %v, %v", s.Name, self.Config["NodeName"], self.Stats["raft"])
		}
	}
	for _, name := range []string{"raft-configuration.json", "autopilot-health.json", "leader.json"} {
		if d.files["intervals/0001/cluster/"+name] == "" {
			t.Errorf("the archive does not have %s", name)
		}
	}
	for name, content := range d.files {
		for what, secret := range secrets {
			if strings.Contains(content, secret) {
				t.Errorf("%s has %s", name, what)
			}
		}
	}
}

func TestADebugArchiveHasEveryServerAndNoSecret(t *testing.T) {
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir, 3, "")
	servers, err := api.New(api.Config{Address: c.Servers[0].HTTP, Token: c.Token})
	must(t, err)
	defer servers.Close()
	node := newAgents(t, c, AgentConfig{Name: "node"})[0]
	ready, err := node.WaitReady(ctx, time.Minute, servers)
	must(t, err)
	secret, err := os.ReadFile(filepath.Join(node.StateDir(), "secret-id"))
	must(t, err)
	identity, err := node.Identity()
	must(t, err)
	secrets := map[string]string{
		"the caller's token": c.Token, "the gossip key": c.GossipKey, "the node's secret": strings.TrimSpace(string(secret)),
		"the node's identity": identity, "a token": "eyJ", "a private key": "PRIVATE KEY",
	}

	debug := func(output, duration string, more ...string) []string {
		return append([]string{
			"operator", "debug", "-address", c.Servers[0].HTTP, "-token", c.Token, "-duration", duration, "-interval", "2s", "-output", output,
			"-log-level", "trace",
		}, more...)
	}
	whole := filepath.Join(dir, "whole.tar.gz")
	commandOK(t, ctx, c, nil, debug(whole, "3s", "-node-id", ready.ID)...)
	got := readDebugArchive(t, whole)
	got.check(t, c.Servers, secrets)
	if m := got.manifest; m.Interrupted || len(m.Unreachable) > 0 || len(m.Agents) != 4 {
		t.Errorf("the manifest is %+v", m)
	}
	if text := got.files["intervals/0001/nodes/"+ready.ID+"/self.json"]; !strings.Contains(text, `"node_id": "`+ready.ID+`"`) {
		t.Errorf("of the node there is %.200q", text)
	}

	interrupted := filepath.Join(dir, "interrupted.tar.gz")
	p, err := c.Group.Start(Command{Name: "interrupted", Path: c.Binary(), Args: debug(interrupted, "30m")})
	must(t, err)
	eventually(t, ctx, "begin to gather", time.Minute, func(context.Context) error {
		if info, err := os.Stat(interrupted + ".partial"); err != nil || info.Size() == 0 {
			return fmt.Errorf("nothing is written yet: %v", err)
		}
		return nil
	})
	must(t, p.Signal(syscall.SIGINT))
	if code, err := p.Exit(ctx); err != nil || code != 0 || !strings.Contains(p.Log(), "Interrupted; the archive has what was gathered until then") {
		t.Errorf("interrupted, the command ended with code %d, error %v: %s", code, err, p.Log())
	}
	if _, err := os.Stat(interrupted + ".partial"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half an archive is left behind: %v", err)
	}
	if m := readDebugArchive(t, interrupted).manifest; !m.Interrupted {
		t.Errorf("the manifest of an interrupted run is %+v", m)
	}

	leader, err := servers.Leader(ctx, "")
	must(t, err)
	alive, dead := c.Servers[:2], c.Servers[2]
	if dead.RPC == leader { // an election would keep the rest from answering
		alive, dead = []*Server{c.Servers[0], c.Servers[2]}, c.Servers[1]
	}
	must(t, dead.Kill())
	partial := filepath.Join(dir, "partial.tar.gz")
	if text, code := command(t, ctx, c, debug(partial, "3s")...); code != 1 || !strings.HasPrefix(text, "Created debug archive: ") {
		t.Errorf("without a server the command ended with code %d: %s", code, text)
	}
	got = readDebugArchive(t, partial)
	got.check(t, alive, secrets)
	if want := []string{"servers/" + dead.Name + ".global"}; !slices.Equal(got.manifest.Unreachable, want) {
		t.Errorf("unreachable are %v, want %v", got.manifest.Unreachable, want)
	}
}
