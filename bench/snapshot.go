package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/e2e"
	"github.com/rollcall-id/rollcall/fsm"
	"github.com/rollcall-id/rollcall/snapshot"
	"github.com/rollcall-id/rollcall/structs"
)

// transfer is one measured piece of work on a whole state.
type transfer struct {
	Work    string  `json:"work"`
	Nodes   int     `json:"nodes"`
	Seconds float64 `json:"seconds"`
	MBps    float64 `json:"mb_per_second"` // of state.bin
	PeakMiB int64   `json:"peak_mib"`      // of the process that does it
	Note    string  `json:"note,omitempty"`
}

// measureSnapshots restores a state of that size into a cluster, saves it again, verifies the archive and replays
// a server's data directory, each by the real server or command.
func measureSnapshots(ctx context.Context, dir string, nodes int) (_ []transfer, err error) {
	dir = filepath.Join(dir, fmt.Sprintf("snapshot-%d", nodes))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	archive := filepath.Join(dir, "in.snap")
	stateBytes, err := makeArchive(ctx, archive, nodes)
	if err != nil {
		return nil, fmt.Errorf("make archive: %w", err)
	}
	group, err := e2e.NewGroup(dir)
	if err != nil {
		return nil, err
	}
	defer group.Close()
	c, err := startServers(ctx, group, dir)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, group.Tails(20))
	}
	pools := newPools(1)
	defer closePools(pools)
	if err := waitForLeader(ctx, pools[0], c.rpc); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, group.Tails(20))
	}
	leader, err := c.leader(ctx, pools[0])
	if err != nil {
		return nil, err
	}
	client, err := api.New(api.Config{Address: "http://" + c.http[leader], Timeout: 10 * time.Minute})
	if err != nil {
		return nil, err
	}
	defer client.Close()
	mb := float64(stateBytes) / 1e6
	var out []transfer
	add := func(work string, took time.Duration, peak int64, note string) {
		out = append(out, transfer{work, nodes, took.Seconds(), mb / took.Seconds(), peak >> 20, note})
	}

	began := time.Now()
	if err := restoreFile(ctx, client, archive); err != nil {
		return nil, fmt.Errorf("restore: %w\n%s", err, group.Tails(20))
	}
	took := time.Since(began)
	peak, now, err := memory(c.procs[leader].PID())
	if err != nil {
		return nil, err
	}
	add("restore, on the leader", took, peak, fmt.Sprintf("%d MiB afterwards", now>>20))
	most, err := waitForNodes(ctx, c)
	if err != nil {
		return nil, err
	}
	add("restore, on every server", time.Since(began), most, "")

	began = time.Now()
	saved := filepath.Join(dir, "out.snap")
	if err := saveFile(ctx, client, saved); err != nil {
		return nil, fmt.Errorf("save: %w\n%s", err, group.Tails(20))
	}
	took = time.Since(began)
	if peak, _, err = memory(c.procs[leader].PID()); err != nil {
		return nil, err
	}
	add("save, on the leader", took, peak, "")

	took, peak, err = command(ctx, c.bin, "operator", "snapshot", "verify", saved)
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	add("verify, the command", took, peak, "")

	if err := c.procs[leader].Stop(ctx); err != nil {
		return nil, fmt.Errorf("stop the leader: %w", err)
	}
	took, peak, err = command(ctx, c.bin, "operator", "raft", "replay", c.data[leader])
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	add("replay of its data, the command", took, peak, "")
	return out, nil
}

// waitForNodes waits until every server has nodes of its own to answer with, which followers load after the leader has
// answered. It returns the largest peak of a server's memory.
func waitForNodes(ctx context.Context, c *servers) (most int64, err error) {
	for i, addr := range c.http {
		client, err := api.New(api.Config{Address: "http://" + addr, Timeout: time.Minute})
		if err != nil {
			return 0, err
		}
		defer client.Close()
		err = e2e.Eventually(ctx, "load the restored state", 5*time.Minute, func(ctx context.Context) error {
			nodes, err := client.Nodes(ctx, &api.QueryOptions{AllowStale: true, PerPage: 1})
			if err == nil && len(nodes.Value) == 0 {
				err = errors.New("it has no nodes")
			}
			return err
		})
		if err != nil {
			return 0, fmt.Errorf("server %s: %w", addr, err)
		}
		peak, _, err := memory(c.procs[i].PID())
		if err != nil {
			return 0, err
		}
		most = max(most, peak)
	}
	return most, nil
}

// makeArchive writes an archive of a state with that many nodes, as a server writes one, and returns the size of
// its state.bin.
func makeArchive(ctx context.Context, path string, nodes int) (int64, error) {
	machine := fsm.New(fsm.Config{})
	const batch = 1000
	index := uint64(0)
	for done := 0; done < nodes; done += batch {
		f, err := newFleet(region, min(batch, nodes-done))
		if err != nil {
			return 0, err
		}
		var logs []*raft.Log
		for _, n := range f.nodes {
			index++
			data, err := structs.Encode(structs.NodeRegisterMsg, &structs.NodeRegisterRequest{Node: n, CreateNodePool: true})
			if err != nil {
				return 0, err
			}
			logs = append(logs, &raft.Log{Index: index, Term: 1, Type: raft.LogCommand, Data: data})
		}
		for _, r := range machine.ApplyBatch(logs) {
			if err, ok := r.(error); ok && err != nil {
				return 0, err
			}
		}
	}
	var size int64
	err := snapshot.WriteFile(path, func(f *os.File) error {
		meta := snapshot.MetaFromRaft(&raft.SnapshotMeta{Version: 1, ID: fmt.Sprintf("1-%d-%d", index, time.Now().UnixMilli()), Index: index, Term: 1})
		written, err := snapshot.Write(ctx, f, meta, func(w io.Writer) error {
			_, err := fsm.WriteState(w, machine.State().Snapshot())
			return err
		}, snapshot.WriteOptions{TempDir: filepath.Dir(path)})
		if err == nil {
			size = written.Meta.Size
		}
		return err
	})
	return size, err
}

func restoreFile(ctx context.Context, client *api.Client, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return client.RestoreSnapshot(ctx, nil, f, info.Size())
}

func saveFile(ctx context.Context, client *api.Client, path string) error {
	body, err := client.SaveSnapshot(ctx, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	return snapshot.WriteFile(path, func(f *os.File) error {
		_, err := io.Copy(f, body)
		return err
	})
}

// memoryPoll is how often a command's memory is looked at while it runs.
const memoryPoll = 20 * time.Millisecond

// command runs a command of the binary and returns how long it took and its peak of resident memory. What the
// system says of an ended child counts this process's memory in, so the child is watched while it runs.
func command(ctx context.Context, bin string, args ...string) (took time.Duration, peak int64, err error) {
	var text bytes.Buffer
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Stdout, cmd.Stderr = &text, &text
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(memoryPoll)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil {
				return 0, 0, fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, text.String())
			}
			return time.Since(began), peak, nil
		case <-tick.C:
			if high, _, err := memory(cmd.Process.Pid); err == nil {
				peak = max(peak, high)
			}
		}
	}
}

// memory returns the peak and the present resident memory of a process, in bytes.
func memory(pid int) (peak, now int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for _, line := range strings.Split(string(b), "\n") {
		name, rest, _ := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if len(fields) == 0 || name != "VmHWM" && name != "VmRSS" {
			continue
		}
		kib, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			return 0, 0, err
		}
		if name == "VmHWM" {
			peak = kib << 10
		} else {
			now = kib << 10
		}
	}
	return peak, now, nil
}
