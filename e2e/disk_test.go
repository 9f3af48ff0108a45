//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// diskLimit is how large a file of the server may grow, in KiB.
const diskLimit = 8 << 10

// A server whose disk takes no more stops, says why, and has everything that it acknowledged when it starts on a disk with
// room.
func TestAServerWhoseDiskRefusesAWriteStopsAndLosesNothing(t *testing.T) {
	ctx, dir := scenario(t)
	c := prepareCluster(t, dir, 1, "")
	s := c.Servers[0]
	must(t, s.StartBy("bash", "-c", fmt.Sprintf(`ulimit -f %d; exec "$0" "$@"`, diskLimit), c.Binary()))
	_, err := c.WaitLeader(ctx)
	must(t, err)

	const writers, perWriter = 4, 1000
	filling := strings.Repeat("x", 16<<10)
	var mu sync.Mutex // guards acknowledged and refusal
	var acknowledged []string
	var refusal error
	var work sync.WaitGroup
	for w := range writers {
		work.Go(func() {
			for i := range perWriter {
				name := fmt.Sprintf("pool-%d-%d", w, i)
				err := s.API.ApplyNodePool(ctx, &structs.NodePool{Name: name, Meta: map[string]string{"filling": filling}}, nil)
				mu.Lock()
				if err == nil {
					acknowledged = append(acknowledged, name)
				} else if refusal == nil {
					refusal = err
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	work.Wait()
	if refusal == nil {
		t.Fatalf("%d writes of 16 KiB fit into files of %d KiB", writers*perWriter, diskLimit)
	}
	t.Logf("%d writes were acknowledged, then: %v", len(acknowledged), refusal)
	if len(acknowledged) < 10 {
		t.Errorf("only %d writes were acknowledged: the disk was full from the start", len(acknowledged))
	}

	code, err := exitIn(ctx, s.Process, 30*time.Second)
	must(t, err)
	log := s.Log()
	if code != 1 {
		t.Errorf("the server ended with code %d, want 1", code)
	}
	for _, want := range []string{"raft.db", "file too large"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not say %q\n%s", want, s.Tail(20))
		}
	}

	must(t, s.Start())
	_, err = c.WaitLeader(ctx)
	must(t, err)
	res, err := s.API.NodePools(ctx, nil)
	must(t, err)
	there := map[string]bool{}
	for _, p := range res.Value {
		there[p.Name] = len(p.Meta["filling"]) == len(filling)
	}
	for _, name := range acknowledged {
		if !there[name] {
			t.Errorf("pool %s was acknowledged and is gone", name)
		}
	}
	newPool(t, ctx, s.API, "room-again", time.Hour)
}
