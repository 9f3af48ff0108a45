package state_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"

	"github.com/rollcall-id/rollcall/fsm"
	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

const (
	overheadNodes = 10_000
	overheadBatch = 64
)

func overheadNode(i int) *structs.Node {
	n := &structs.Node{
		ID: fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(i)*2654435761, i), Name: fmt.Sprintf("host-%d", i), Datacenter: "dc1",
		SecretID: fmt.Sprintf("00000000-5ec2-4000-8000-%012x", i), Status: structs.NodeStatusInit, StatusUpdatedAt: 1_700_000_000,
		Attributes: structs.NewStringMap(map[string]string{}), Meta: structs.NewStringMap(map[string]string{"rack": "r1"}),
		NodeResources: structs.Raw("\x82\xa6Memory\x81\xa8MemoryMB\xcd\x10\x00\xa4Disk\xc0"),
	}
	for j := range 44 {
		n.Attributes = n.Attributes.With(fmt.Sprintf("attribute.number.%d", j), fmt.Sprintf("value of attribute %d", j))
	}
	return n
}

func overheadEntry(b *testing.B, index uint64, t structs.MessageType, msg any) *raft.Log {
	data, err := structs.Encode(t, msg)
	if err != nil {
		b.Fatal(err)
	}
	return &raft.Log{Index: index, Type: raft.LogCommand, Data: data}
}

// threadTime is how long this thread has run on a processor: what else the machine does doesn't count.
func threadTime(b *testing.B) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return time.Duration(t.Nano())
}

// BenchmarkDigestOverhead applies the same log to two state machines in turn, batch by batch: one follows the digest
// and one does not. The metric overhead-% is how much more of its thread's time a batch takes to be applied with the
// digest, the median of all pairs; the bar is 3. beside-% is the time of the hashing that a server does beside
// applying, on another goroutine, as a part of the time of applying.
func BenchmarkDigestOverhead(b *testing.B) {
	event := structs.NewNodeEvent(structs.NodeEventSubsystemCluster, structs.NodeHeartbeatMissedEvent, time.Unix(1_700_000_000, 0))
	statuses := []string{structs.NodeStatusReady, structs.NodeStatusDown}
	for _, c := range []struct {
		name string
		next func(i int) (structs.MessageType, any)
	}{
		{"status", func(i int) (structs.MessageType, any) {
			return structs.NodeUpdateStatusMsg, &structs.NodeUpdateStatusRequest{
				NodeID: overheadNode(i * 7919 % overheadNodes).ID, Status: structs.NodeStatusReady, UpdatedAt: int64(i),
			}
		}},
		{"status with an event", func(i int) (structs.MessageType, any) {
			return structs.NodeUpdateStatusMsg, &structs.NodeUpdateStatusRequest{
				NodeID: overheadNode(i * 7919 % overheadNodes).ID, Status: statuses[i%2], UpdatedAt: int64(i), NodeEvent: event,
			}
		}},
		{"register", func(i int) (structs.MessageType, any) {
			return structs.NodeRegisterMsg, &structs.NodeRegisterRequest{Node: overheadNode(overheadNodes + i)}
		}},
		{"register again", func(i int) (structs.MessageType, any) {
			return structs.NodeRegisterMsg, &structs.NodeRegisterRequest{Node: overheadNode(i * 7919 % overheadNodes)}
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			machines := [2]*fsm.FSM{fsm.New(fsm.Config{}), fsm.New(fsm.Config{})}
			state.SetUndigested(machines[1].State(), true)
			var log []*raft.Log
			for i := range overheadNodes {
				log = append(log, overheadEntry(b, uint64(i+2), structs.NodeRegisterMsg, &structs.NodeRegisterRequest{Node: overheadNode(i)}))
			}
			for _, f := range machines {
				f.ApplyBatch(log)
			}
			log = log[:0]
			for i := range 4096 {
				t, msg := c.next(i)
				log = append(log, overheadEntry(b, uint64(1_000_000+i), t, msg))
			}
			var ratios []float64
			var applying, hashing time.Duration
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			b.ResetTimer()
			for i := 0; i < b.N; i += overheadBatch {
				batch := log[i%len(log):][:overheadBatch]
				var took [2]time.Duration
				for turn := range machines {
					which := (turn + i/overheadBatch) % 2
					began := threadTime(b)
					results := machines[which].ApplyBatch(batch)
					took[which] = threadTime(b) - began
					if err, bad := results[0].(error); bad {
						b.Fatal(err)
					}
					if which == 0 && i/overheadBatch%5 == 4 { // about as often as a server does, and before each machine in turn
						began = threadTime(b)
						if _, err := machines[0].State().Digest(); err != nil {
							b.Fatal(err)
						}
						hashing += threadTime(b) - began
					}
				}
				applying += took[0]
				ratios = append(ratios, float64(took[0])/float64(took[1]))
			}
			b.StopTimer()
			slices.Sort(ratios)
			b.ReportMetric(100*(ratios[len(ratios)/2]-1), "overhead-%")
			b.ReportMetric(100*float64(hashing)/float64(applying), "beside-%")
			b.ReportMetric(0, "ns/op")
		})
	}
}
