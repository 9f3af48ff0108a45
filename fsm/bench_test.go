package fsm

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/structs"
)

// benchNodes is the fleet that the benchmarks run against, benchAttributes what each node reports.
const (
	benchNodes      = 10_000
	benchAttributes = 44
)

func fleet(b *testing.B, nodes int) *FSM {
	b.Helper()
	f := New(Config{})
	apply(b, f, 2, structs.RootKeyUpsertMsg, activeKey(1))
	var batch []*raft.Log
	for i := range nodes {
		batch = append(batch, entry(b, uint64(3+i), structs.NodeRegisterMsg, registration(i, benchAttributes)))
	}
	f.ApplyBatch(batch)
	if f.State().NodeCount() != nodes {
		b.Fatalf("%d nodes", f.State().NodeCount())
	}
	return f
}

// run applies entries made by next, batch at a time; one operation is one entry.
func run(b *testing.B, f *FSM, batch int, next func(i int) *raft.Log) {
	b.Helper()
	const prepared = 4096
	entries := make([]*raft.Log, prepared)
	for i := range entries {
		entries[i] = next(i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += batch {
		at := i % prepared
		for j, res := range f.ApplyBatch(entries[at : at+batch]) {
			if res != nil {
				b.Fatalf("entry %d: %v", j, res)
			}
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "applies/s")
}

func BenchmarkApplyStatus(b *testing.B) {
	for _, batch := range []int{1, 64} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			f := fleet(b, benchNodes)
			run(b, f, batch, func(i int) *raft.Log {
				return entry(b, uint64(1_000_000+i), structs.NodeUpdateStatusMsg, &structs.NodeUpdateStatusRequest{
					NodeID: uuid(i * 7 % benchNodes), Status: structs.NodeStatusReady, IdentitySigningKeyID: uuid(901), UpdatedAt: 1_700_000_000,
				})
			})
		})
	}
}

func BenchmarkApplyRegister(b *testing.B) {
	for _, batch := range []int{1, 64} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			f := fleet(b, benchNodes)
			run(b, f, batch, func(i int) *raft.Log {
				return entry(b, uint64(1_000_000+i), structs.NodeRegisterMsg, registration(benchNodes+i, benchAttributes))
			})
		})
	}
}

func BenchmarkPersist(b *testing.B) {
	f := fleet(b, benchNodes)
	snap := f.State().Snapshot()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := WriteState(io.Discard, snap); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(benchNodes)*float64(b.N)/b.Elapsed().Seconds(), "nodes/s")
}

func BenchmarkRestore(b *testing.B) {
	stream := persist(b, fleet(b, benchNodes))
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := ReadState(bytes.NewReader(stream)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(benchNodes)*float64(b.N)/b.Elapsed().Seconds(), "nodes/s")
}
