package replay

import (
	"fmt"
	"testing"

	"github.com/rollcall-id/rollcall/structs"
)

// benchLog is a log of n commands: registrations of nodes with as many attributes as real ones have, and after each
// of them two changes of status.
func benchLog(tb testing.TB, n int) string {
	tb.Helper()
	attributes := map[string]string{}
	for i := range 44 {
		attributes[fmt.Sprintf("driver.attribute.%02d", i)] = fmt.Sprintf("value of attribute %d", i)
	}
	cmds := make([][]byte, 0, n)
	for i := range n {
		if i%3 == 0 {
			cmds = append(cmds, command(tb, structs.NodeRegisterMsg, &structs.NodeRegisterRequest{Node: &structs.Node{
				ID: nodeID(i), SecretID: nodeID(1_000_000 + i), Datacenter: "dc1", Name: fmt.Sprint("n", i), Attributes: structs.NewStringMap(attributes),
				Status: structs.NodeStatusInit, StatusUpdatedAt: epoch.Unix(),
			}}))
			continue
		}
		cmds = append(cmds, command(tb, structs.NodeUpdateStatusMsg, &structs.NodeUpdateStatusRequest{
			NodeID: nodeID(i - i%3), Status: []string{"", structs.NodeStatusReady, structs.NodeStatusDown}[i%3], UpdatedAt: epoch.Unix() + int64(i),
		}))
	}
	return writeDir(tb, entries(tb, cmds))
}

func BenchmarkReplay(b *testing.B) {
	const n = 60_000
	dir := benchLog(b, n)
	for _, batch := range []int{1, 256} {
		b.Run(fmt.Sprint("batch=", batch), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d, err := Open(dir)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := d.Run(b.Context(), Options{Batch: batch}); err != nil {
					b.Fatal(err)
				}
				if err := d.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}
