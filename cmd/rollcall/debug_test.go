package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/structs"
)

// debugCluster answers what a debug archive asks for, some of it as agents do that refuse.
type debugCluster struct {
	mu     sync.Mutex
	asked  []string      // guarded by mu
	log    chan struct{} // closed: the log ends by itself
	opened chan struct{} // gets a value for each log that is followed
	dead   string        // ID of a server that the asked one does not reach
}

func (d *debugCluster) serve(t *testing.T) {
	t.Helper()
	c := newCluster()
	c.reply["Operator.StateDigest"] = structs.StateDigest{}
	agent := c.handler(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		d.asked = append(d.asked, r.URL.RequestURI())
		d.mu.Unlock()
		query := r.URL.Query()
		switch path := r.URL.Path; {
		case d.dead != "" && query.Get("server_id") == d.dead:
			http.Error(w, "dial: connection refused", http.StatusInternalServerError)
		case path == "/v1/agent/self" && query.Has("server_id"), path == "/v1/agent/self" && query.Has("node_id"), path == "/v1/metrics":
			fmt.Fprintf(w, "%s of %s%s, asked with %s", path, query.Get("server_id"), query.Get("node_id"), r.Header.Get("X-Nomad-Token"))
		case path == "/v1/agent/self":
			io.WriteString(w, `{"config":{"NodeName":"s1","Region":"global"},"member":{"Name":"s1.global"},"stats":{}}`)
		case path == "/v1/agent/monitor":
			io.WriteString(w, "a line of "+r.URL.Query().Get("server_id")+"\n")
			w.(http.Flusher).Flush()
			if d.opened != nil {
				d.opened <- struct{}{}
			}
			select {
			case <-r.Context().Done():
			case <-d.log:
			}
		case path == "/v1/agent/pprof/heap":
			http.Error(w, "profiles are off", http.StatusForbidden)
		case strings.HasPrefix(path, "/v1/agent/pprof/"), path == "/v1/agent/host":
			io.WriteString(w, path)
		default:
			agent.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	t.Setenv("ROLLCALL_ADDR", srv.URL)
}

// unpack reads an archive whole.
func unpack(t *testing.T, file string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	zr, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimPrefix(h.Name, "rollcall-debug/")] = string(content)
	}
}

func TestADebugArchiveHasWhatThereIsAndSaysWhatIsMissing(t *testing.T) {
	d := &debugCluster{log: make(chan struct{})}
	close(d.log)
	d.serve(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "out.tar.gz")
	got := rollcall(t, "", "operator", "debug", "-duration", "1s", "-interval", "1s", "-output", file, "-server-id", "s2,leader", "-node-id", "5072")
	if got.code != 0 || !strings.HasPrefix(got.out, "Created debug archive: "+file+"; ") {
		t.Fatalf("%+v", got)
	}
	files := unpack(t, file)
	for name, part := range map[string]string{
		"cluster/members.json": `"s9.eu"`, "cluster/keys.json": key1, "cluster/nodes.json": node1,
		"intervals/0001/cluster/leader.json": "10.0.0.1:4647", "intervals/0001/cluster/autopilot-health.json": `"Healthy": true`,
		"intervals/0001/servers/s2.global/digest.json": "Digest", "intervals/0001/servers/s2.global/self.json": "/v1/agent/self of s2-id, ",
		"intervals/0001/servers/s2.global/metrics.json": "/v1/metrics of s2-id, ", "intervals/0001/nodes/" + node3 + "/self.json": "/v1/agent/self of " + node3,
		"intervals/0001/servers/s1.global/digest.json": "Digest", "intervals/0001/servers/s1.global/self.json": "NodeName",
		"servers/s1.global/monitor.log": "a line of \n", "servers/s2.global/monitor.log": "a line of s2-id\n", "servers/leader/monitor.log": "a line of leader\n",
		"servers/s2.global/goroutines.txt": "/v1/agent/pprof/goroutine", "servers/s2.global/profile.prof": "profile", "servers/s1.global/host.json": "host",
		"nodes/" + node3 + "/host.json": "host",
	} {
		if !strings.Contains(files[name], part) {
			t.Errorf("%s has %q, want %q in it", name, files[name], part)
		}
	}
	var manifest struct {
		Interrupted bool
		Agents      []string
		Failures    []debugFailure
	}
	if err := json.Unmarshal([]byte(files["manifest.json"]), &manifest); err != nil {
		t.Fatal(err)
	}
	if want := []string{"servers/s1.global", "servers/s2.global", "servers/leader", "nodes/" + node3}; manifest.Interrupted || !slices.Equal(manifest.Agents, want) {
		t.Errorf("the manifest is %+v, want the agents %v", manifest, want)
	}
	if !slices.ContainsFunc(manifest.Failures, func(f debugFailure) bool {
		return f.File == "servers/s2.global/heap.prof" && strings.Contains(f.Error, "profiles are off")
	}) {
		t.Errorf("the failures %v don't tell of the heap", manifest.Failures)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
	if got := rollcall(t, "", "operator", "debug", "-output", file); got.code != 1 || !strings.Contains(got.err, "exists already") {
		t.Errorf("over an existing file: %+v", got)
	}
}

func TestADebugArchiveNamesAServerThatDoesNotAnswer(t *testing.T) {
	d := &debugCluster{log: make(chan struct{}), dead: "s2-id"}
	close(d.log)
	d.serve(t)
	t.Setenv("ROLLCALL_TOKEN", "3d6f5a1c-secret")
	file := filepath.Join(t.TempDir(), "out.tar.gz")
	got := rollcall(t, "", "operator", "debug", "-duration", "1s", "-interval", "1s", "-output", file)
	if want := "no answer from servers/s2.global; the archive has the rest"; got.code != exitError || !strings.Contains(got.err, want) {
		t.Fatalf("%+v, want %q", got, want)
	}
	files := unpack(t, file)
	var manifest struct{ Agents, Unreachable []string }
	if err := json.Unmarshal([]byte(files["manifest.json"]), &manifest); err != nil {
		t.Fatal(err)
	}
	all := []string{"servers/s1.global", "servers/s2.global"}
	if dead := all[1:]; !slices.Equal(manifest.Agents, all) || !slices.Equal(manifest.Unreachable, dead) {
		t.Errorf("the manifest is %+v, want the agents %v, of which %v do not answer", manifest, all, dead)
	}
	if text := files["intervals/0001/servers/s1.global/metrics.json"]; text != "/v1/metrics of , asked with <redacted>" {
		t.Errorf("an answer that repeats the token is kept as %q", text)
	}
}

func TestAnInterruptedDebugLeavesAWholeArchive(t *testing.T) {
	d := &debugCluster{log: make(chan struct{}), opened: make(chan struct{}, 10)}
	d.serve(t)
	file := filepath.Join(t.TempDir(), "out.tar.gz")
	ctx, interrupt := context.WithCancel(t.Context())
	var out, errs bytes.Buffer
	done := make(chan int, 1)
	go func() {
		a := &app{in: strings.NewReader(""), out: &out, err: &errs}
		done <- a.run(ctx, []string{"rollcall", "operator", "debug", "-duration", "1h", "-output", file, "-server-id", "s1"})
	}()
	<-d.opened
	interrupt()
	if code := <-done; code != 0 || !strings.Contains(errs.String(), "Interrupted; the archive has what was gathered") {
		t.Fatalf("exit %d, %s%s", code, out.String(), errs.String())
	}
	files := unpack(t, file)
	if !strings.Contains(files["cluster/keys.json"], key1) || !strings.Contains(files["manifest.json"], `"Interrupted": true`) {
		t.Errorf("the archive has %v", files)
	}
}

func TestDebugThatCanNotBeginLeavesNothing(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		args       []string
		code       int
	}{
		{"no such server", `there is no server "s7"`, []string{"-server-id", "s7"}, exitNotFound},
		{"no such node", "no node has an ID", []string{"-node-id", "ffff"}, exitNotFound},
		{"a short interval", "-interval must be", []string{"-interval", "1ms"}, exitUsage},
		{"a long interval", "-interval must be", []string{"-duration", "10s", "-interval", "20s"}, exitUsage},
		{"an endless duration", "-duration must be", []string{"-duration", "100h"}, exitUsage},
		{"a bad level", "-log-level", []string{"-log-level", "loud"}, exitUsage},
		{"an agent that does not answer", "ask an agent about itself", []string{"-agent-address", "127.0.0.1:1"}, exitError},
		{"a bad address", "-agent-address", []string{"-agent-address", "ftp://x"}, exitUsage},
	} {
		t.Run(tc.name, func(t *testing.T) {
			(&debugCluster{}).serve(t)
			dir := t.TempDir()
			got := rollcall(t, "", append([]string{"operator", "debug", "-output", dir}, tc.args...)...)
			if got.code != tc.code || !strings.Contains(got.err, tc.text) {
				t.Errorf("%+v", got)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
				t.Errorf("the directory holds %v, %v", entries, err)
			}
		})
	}
}

func TestAFrozenAgentHoldsADebugArchiveUpForAMomentOnly(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(srv.Close)
	client, err := api.New(api.Config{Address: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	archive, err := createBundle(filepath.Join(t.TempDir(), "out.tar.gz"), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(archive.discard)
	d := &debugRun{archive: archive, slots: make(chan struct{}, 1), limit: 10 * time.Millisecond}
	d.fetch(t.Context(), &debugAgent{client: client}, debugPart{file: "x", path: "/v1/metrics"})
	if len(archive.failures) != 1 || !strings.Contains(archive.failures[0].Error, "no answer within 10ms") {
		t.Errorf("the failures are %v", archive.failures)
	}
}

func TestNamesOfServersAreNoPaths(t *testing.T) {
	for in, want := range map[string]string{
		"s1.global": "s1.global", "../../etc": "_.._etc", "": "unnamed", "..": "unnamed", "a b/ü": "a_b__", ".hidden": "hidden",
	} {
		if got := fileName(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}
