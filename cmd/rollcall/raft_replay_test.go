package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/rollcall-id/rollcall/snapshot"
	"github.com/rollcall-id/rollcall/structs"
)

// stoppedServer writes the data directory of a stopped server: a configuration, a pool without an identity TTL, nodes
// that bring their secret, an entry of a type without an effect here, and one that is refused.
func stoppedServer(t *testing.T, more ...*raft.Log) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "server", "raft")
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	conf := raft.Configuration{Servers: []raft.Server{{ID: node1, Address: "10.0.0.1:4647"}}}
	logs := []*raft.Log{{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(conf), AppendedAt: start}}
	add := func(typ structs.MessageType, req any) {
		data, err := structs.Encode(typ, req)
		if err != nil {
			t.Fatal(err)
		}
		logs = append(logs, &raft.Log{Index: uint64(len(logs) + 1), Term: 1, Data: data, AppendedAt: start})
	}
	add(structs.NodePoolUpsertMsg, map[string]any{"NodePools": []any{map[string]any{"Name": "edge"}}})
	for i, id := range []string{node1, node2, node3} {
		add(structs.NodeRegisterMsg, &structs.NodeRegisterRequest{Node: &structs.Node{
			ID: id, SecretID: fmt.Sprintf("5ec7e700-0000-4000-8000-00000000000%d", i), Datacenter: "dc1", Name: "evil-\x1b[31m", NodePool: "edge",
			Status: structs.NodeStatusInit, Attributes: structs.NewStringMap(map[string]string{"os.name": "debian"}),
		}})
	}
	add(structs.JobRegisterMsg, map[string]any{"AuthToken": "5ec7e7-token", "Job": map[string]any{"ID": "web"}})
	add(structs.NodePoolDeleteMsg, &structs.NodePoolDeleteRequest{Names: []string{"none"}})
	store, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(path, "raft.db"), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.StoreLogs(append(logs, more...)); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// futureEntry is one that this version can't apply.
var futureEntry = &raft.Log{Index: 8, Term: 1, Data: []byte{99, 0x80}}

func wantOutput(t *testing.T, got outcome, code int, out, errs []string) {
	t.Helper()
	if got.code != code {
		t.Errorf("exit %d, want %d\n%s%s", got.code, code, got.out, got.err)
	}
	for _, want := range out {
		if !strings.Contains(got.out, want) {
			t.Errorf("standard output lacks %q:\n%s", want, got.out)
		}
	}
	for _, want := range errs {
		if !strings.Contains(got.err, want) {
			t.Errorf("standard error lacks %q:\n%s", want, got.err)
		}
	}
	if len(errs) == 0 && got.err != "" {
		t.Errorf("standard error is %q", got.err)
	}
	if all := got.out + got.err; strings.Contains(all, "5ec7e7") || strings.Contains(all, "\x1b") {
		t.Errorf("a secret or a control character is shown:\n%s", all)
	}
}

func TestRaftCommandsOnAStoppedServer(t *testing.T) {
	dir, bad := stoppedServer(t), stoppedServer(t, futureEntry)
	same := stoppedServer(t)
	archive := filepath.Join(t.TempDir(), "out.snap")
	for _, c := range []struct {
		name      string
		args      []string
		code      int
		out, errs []string
	}{
		{"info", []string{"info", dir}, 0, []string{"Indexes      = 1 to 7", "NodeRegister", "10.0.0.1:4647", "Configuration at index 1"}, nil},
		{"info of a bad log is no judge of its entries", []string{"info", bad}, 0, []string{"unknown(99)"}, nil},
		{"info with a template", []string{"info", "-t", "{{.Entries}} {{(index .Ranges 0).Last}}", dir}, 0, []string{"7 7"}, nil},
		{"logs", []string{"logs", dir}, 0, []string{"Configuration", "NodeRegister", "JobRegister"}, nil},
		{"logs of a type and a range", []string{"logs", "-from", "3", "-to", "4", "-type", "NodeRegister", "-verbose", dir}, 0, []string{`"SecretID":"[masked]"`, node2}, nil},
		{"logs with a range that ends before it begins", []string{"logs", "-from", "5", "-to", "4", dir}, 2, nil, []string{"-from 5 is after -to 4"}},
		{"state", []string{"state", dir}, 0, []string{`"Digest"`, node1, `"NodeIdentityTTL": 86400000000000`}, nil},
		{"state at an index", []string{"state", "-last-index", "3", "-t", "{{.Index}} {{len .Nodes}}", dir}, 0, []string{"3 1\n"}, nil},
		{"state of a bad log", []string{"state", bad}, 1, nil, []string{"future at entry 8", "operator raft replay"}},
		{"replay", []string{"replay", dir}, 0, []string{"Started from      = the start", "7, from 1 to 7", "Failed entries    = 1", "1 in the log, 0 created", "0 in the snapshot, 3 in the log", `"none"`}, nil},
		{"replay of a bad log stops", []string{"replay", "-to-snapshot", archive, bad}, 1, []string{"7, from 1 to 7"}, []string{"Problem: future at entry 8 (unknown(99))", "nothing is written"}},
		{"replay of a bad log goes on", []string{"replay", "-keep-going", bad}, 1, []string{"7, from 1 to 7", "Undecodable"}, []string{"Problem: future at entry 8"}},
		{"replay into an archive, compared with the same", []string{"replay", "-to-snapshot", archive, "-compare", same, dir}, 0, []string{"Wrote the state to " + archive, "at index 7 is the same"}, nil},
		{"replay into a file that is there", []string{"replay", "-to-snapshot", archive, dir}, 2, nil, []string{"there is such a file already"}},
		{"replay compared with the archive", []string{"replay", "-batch", "1", "-compare", archive, dir}, 0, []string{"at index 7 is the same"}, nil},
		{"replay compared with another state", []string{"replay", "-until", "4", "-compare", archive, dir}, 1, []string{"Differences from " + archive, "node ", "removed", node3}, nil},
		{"replay compared with what is neither", []string{"replay", "-compare", "raft_replay_test.go", dir}, 1, nil, []string{"neither log nor archive"}},
		{"replay in batches of nothing", []string{"replay", "-batch", "0", dir}, 2, nil, []string{"want at least 1"}},
		{"nothing there", []string{"info", t.TempDir()}, 1, nil, []string{"no Raft log there"}},
		{"no directory named", []string{"info"}, 2, nil, []string{"want 1 argument(s)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := rollcall(t, "", append([]string{"operator", "raft"}, c.args...)...)
			if c.name == "replay compared with what is neither" {
				got.out = "" // the error names what was tried
			}
			if c.name == "replay of a bad log stops" {
				if _, err := os.Stat(archive); err == nil {
					t.Error("an archive was written")
				}
			}
			wantOutput(t, got, c.code, c.out, c.errs)
		})
	}
	v, err := snapshot.VerifyFile(t.Context(), archive, snapshot.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = v.Close() }()
	if v.Meta.Index != 7 || v.Meta.Term != 1 || len(v.Meta.Configuration.Servers) != 1 || v.Meta.ConfigurationIndex != 1 {
		t.Errorf("archive %+v", v.Meta)
	}
}

func TestRaftCommandsPrintJSON(t *testing.T) {
	dir := stoppedServer(t)
	var info struct{ Entries uint64 }
	if err := json.Unmarshal([]byte(rollcall(t, "", "operator", "raft", "info", "-json", dir).out), &info); err != nil || info.Entries != 7 {
		t.Errorf("info %+v, %v", info, err)
	}
	lines := strings.Split(strings.TrimSpace(rollcall(t, "", "operator", "raft", "logs", "-json", dir).out), "\n")
	for i, line := range lines {
		var e struct{ Index uint64 }
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Index != uint64(i+1) {
			t.Errorf("line %d: %q, %v", i, line, err)
		}
	}
	if len(lines) != 7 {
		t.Errorf("%d lines", len(lines))
	}
	var replayed, state struct{ Digest string }
	err := json.Unmarshal([]byte(rollcall(t, "", "operator", "raft", "replay", "-json", dir).out), &replayed)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(rollcall(t, "", "operator", "raft", "state", dir).out), &state); err != nil {
		t.Fatal(err)
	}
	if len(replayed.Digest) != 64 || replayed.Digest != state.Digest {
		t.Errorf("replay says %q, state %q", replayed.Digest, state.Digest)
	}
}

func TestRaftCommandsRefuseADirectoryInUse(t *testing.T) {
	if os.Getenv("HOLD_RAFT_LOG") != "" {
		store, err := raftboltdb.NewBoltStore(os.Getenv("HOLD_RAFT_LOG"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("held")
		_, _ = os.Stdin.Read(make([]byte, 1)) // until the parent is done
		_ = store.Close()
		return
	}
	dir := stoppedServer(t)
	holder := exec.Command(os.Args[0], "-test.run=^TestRaftCommandsRefuseADirectoryInUse$")
	holder.Env = append(os.Environ(), "HOLD_RAFT_LOG="+filepath.Join(dir, "server", "raft", "raft.db"))
	in, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if line := make([]byte, 5); true {
		if n, err := out.Read(line); err != nil || string(line[:n]) != "held\n" {
			t.Fatalf("the holder says %q, %v", line[:n], err)
		}
	}
	for _, command := range []string{"info", "logs", "state", "replay"} {
		wantOutput(t, rollcall(t, "", "operator", "raft", command, dir), 1, nil, []string{"held by another process", "stop the server"})
	}
	_ = in.Close()
	if err := holder.Wait(); err != nil {
		t.Fatal(err)
	}
	wantOutput(t, rollcall(t, "", "operator", "raft", "info", dir), 0, []string{"1 to 7"}, nil)
}

func TestAReplayIsInterruptedByAContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := stoppedServer(t)
	for _, command := range []string{"info", "logs", "state", "replay"} {
		var out, errs bytes.Buffer
		a := &app{in: strings.NewReader(""), out: &out, err: &errs}
		if code := a.run(ctx, []string{"rollcall", "operator", "raft", command, dir}); code != 1 || errs.String() != "Interrupted\n" {
			t.Errorf("%s: exit %d, %q", command, code, errs.String())
		}
	}
}
