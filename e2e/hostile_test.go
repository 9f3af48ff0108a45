//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// hostileMemory is how much a server may grow, in bytes, while it is fed nonsense over some 3,000 connections, where no address has
// limits: 20 sessions with 4,096 open streams, each of which takes up to 5 KiB with its goroutine, and 48 MiB for all else.
const hostileMemory = 20*4096*5<<10 + 48<<20

// raftConnLimit is how many connections for Raft a server keeps from one address.
const raftConnLimit = 128

// Whatever arrives at the RPC port, the server goes on serving, with bounded memory.
func TestNonsenseAtTheRPCPortHarmsNobody(t *testing.T) {
	t.Parallel()
	ctx, dir := scenario(t)
	c := newPlainCluster(t, ctx, dir, 3, quickHeartbeats)
	leader, err := c.WaitLeader(ctx)
	must(t, err)
	a := newAgents(t, c, AgentConfig{Name: "node-1", Servers: []string{leader.RPC}})[0]
	n, err := a.WaitReady(ctx, 30*time.Second, leader.API)
	must(t, err)
	before, err := leader.Memory()
	must(t, err)

	conns := map[net.Conn]string{}
	defer func() {
		for conn := range conns {
			conn.Close()
		}
	}()
	payloads := hostilePayloads()
	// The Raft library waits for the rest of a message for ever; the server bounds how many may do that.
	const halfMessage = "half of a Raft message"
	payloads[halfMessage] = []byte{0x02, 0x00, 0x82}
	connsFor := map[string]int{halfMessage: 290}
	peak := before
	for _, name := range slices.Sorted(maps.Keys(payloads)) {
		for range connsFor[name] + 10 {
			conn, err := net.DialTimeout("tcp", leader.RPC, 5*time.Second)
			if err != nil {
				t.Fatalf("after %s: %v", name, err)
			}
			conns[conn] = name
			must(t, conn.SetWriteDeadline(time.Now().Add(2*time.Second)))
			_, _ = conn.Write(payloads[name]) // the server may hang up before it has read all
		}
		now, err := leader.Memory()
		if err != nil {
			t.Fatalf("after %s: %v", name, err)
		}
		peak = max(peak, now)
	}

	// With all of these still open:
	eventually(t, ctx, "write", 30*time.Second, func(ctx context.Context) error {
		err := leader.API.ApplyNodePool(ctx, &structs.NodePool{Name: "still-writable", NodeIdentityTTL: time.Hour}, nil)
		if err != nil && !errors.Is(err, structs.ErrNoLeader) && !errors.Is(err, structs.ErrNotReady) {
			return Final(err)
		}
		return err // of an election, which a busy machine has without anybody's help; clients repeat it, too
	})
	agent2 := newAgents(t, c, AgentConfig{Name: "node-2", Servers: []string{leader.RPC}})[0]
	_, err = agent2.WaitReady(ctx, 30*time.Second, leader.API)
	must(t, err)
	still, err := c.WaitLeader(ctx)
	must(t, err)
	if still != leader && !missedQuorum(c) {
		t.Errorf("%s lost leadership to %s, and not for want of time", leader.Name, still.Name)
	}
	list, err := nodes(ctx, leader.API)
	must(t, err)
	noneMissed(t, ctx, leader.API, list)
	if list[n.ID] == nil {
		t.Errorf("node %s is gone", n.ID)
	}
	// It gets rid of those who never say anything sensible.
	eventually(t, ctx, "see the server hang up", 2*time.Minute, func(context.Context) error {
		now, err := leader.Memory()
		if err != nil {
			return Final(err)
		}
		peak = max(peak, now)
		open, err := stillOpen(conns)
		if err != nil {
			return Final(err)
		}
		raft := 0
		maps.DeleteFunc(open, func(name string, n int) bool {
			if payloads[name] != nil && payloads[name][0] == 0x02 {
				raft += n
				return true
			}
			return false
		})
		if len(open) > 0 || raft > raftConnLimit {
			return fmt.Errorf("still open: %v, and %d for Raft", open, raft)
		}
		return nil
	})
	t.Logf("%d connections; memory was %d MiB and at most %d MiB", len(conns), before>>20, peak>>20)
	if peak > before+hostileMemory {
		t.Errorf("the server grew from %d to %d MiB, want %d MiB more at most", before>>20, peak>>20, hostileMemory>>20)
	}
}

// missedQuorum reports whether a server was too slow to lead or to follow, as its log tells.
func missedQuorum(c *Cluster) bool {
	return slices.ContainsFunc(c.Servers, func(s *Server) bool {
		return strings.Contains(s.Log(), "failed to contact quorum of nodes, stepping down") || strings.Contains(s.Log(), "heartbeat timeout reached, starting election: last-leader-addr=127")
	})
}

// stillOpen reads from connections and counts those that have not ended, by name.
func stillOpen(conns map[net.Conn]string) (map[string]int, error) {
	buf := make([]byte, 64<<10)
	open := map[string]int{}
	for conn, name := range conns {
		for {
			if err := conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
				return nil, err
			}
			_, err := conn.Read(buf)
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				open[name]++
			}
			if err != nil {
				break
			}
		}
	}
	return open, nil
}

// hostilePayloads are what a connection begins with, by name.
func hostilePayloads() map[string][]byte {
	out := map[string][]byte{}
	garbage := bytes.Repeat([]byte{0xc1, 0xff, 0x00, 0x7f, 0xdb}, 2000)
	for b := range 256 {
		out[fmt.Sprintf("first byte %#02x and garbage", b)] = append([]byte{byte(b)}, garbage...)
	}
	// A request header that is fine, and bodies that claim to be huge.
	header := append([]byte{0x82, 0xa3}, "Seq"...)
	header = append(header, 0x01, 0xad)
	header = append(header, "ServiceMethod"...)
	header = append(header, 0xad)
	header = append(header, "Node.Register"...)
	huge := binary.BigEndian.AppendUint32(nil, 0xfffffff0)
	bodies := map[string][]byte{
		"string": {0xdb}, "binary": {0xc6}, "array": {0xdd}, "map": {0xdf}, "extension": {0xc9},
	}
	for name, kind := range bodies {
		claim := append(append([]byte{}, kind...), huge...)
		out["a body that claims a huge "+name] = bytes.Join([][]byte{{0x01}, header, claim}, nil)
		out["a header that claims a huge "+name] = append([]byte{0x01}, claim...)
		out["a Raft message that claims a huge "+name] = append([]byte{0x02, 0x00}, claim...)
		out["a streaming header that claims a huge "+name] = append([]byte{0x05}, claim...)
		node := append(append([]byte{0x81, 0xa4}, "Node"...), claim...)
		out["a node that claims a huge "+name] = bytes.Join([][]byte{{0x01}, header, node}, nil)
	}
	for _, kind := range []byte{0x91, 0x81} { // arrays in arrays, maps in maps
		out[fmt.Sprintf("deep nesting of %#02x", kind)] = bytes.Join([][]byte{{0x01}, header, bytes.Repeat([]byte{kind}, 1<<20)}, nil)
	}
	for _, first := range []byte{0x03, 0x06} {
		for kind := range byte(5) {
			// version, type, flags, stream, length
			frame := append([]byte{first, 0, kind, 0, 1, 0, 0, 0, 1}, huge...)
			out[fmt.Sprintf("byte %d and a session frame of type %d that claims to be huge", first, kind)] = frame
		}
		var opens []byte
		for i := range uint32(20000) {
			opens = append(opens, 0, 1, 0, 1)
			opens = binary.BigEndian.AppendUint32(opens, 2*i+1)
			opens = append(opens, 0, 0, 0, 0)
		}
		out[fmt.Sprintf("byte %d and 20,000 streams", first)] = append([]byte{first}, opens...)
	}
	out["TLS where there is none"] = []byte{0x04, 0x16, 0x03, 0x01, 0x40, 0x00, 0x01}
	out["HTTP"] = []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	out["nothing"] = nil
	return out
}
