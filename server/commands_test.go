package server

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

func TestCommandsThatAreUnderWayEndWithTheServer(t *testing.T) {
	for range 10 {
		c := testConfig(t, "a", 1)
		s := start(t, c)
		waitLeader(t, s)
		var wg sync.WaitGroup
		begun := make(chan struct{}, 256)
		for range 256 {
			wg.Go(func() {
				begun <- struct{}{}
				for {
					_, err := (applier{s}).Apply(structs.NodePoolUpsertMsg, &structs.NodePoolUpsertRequest{
						NodePools: []*structs.NodePool{{Name: "edge"}},
					})
					if err != nil && !errors.Is(err, structs.ErrOverloaded) {
						return
					}
				}
			})
		}
		for range 256 {
			<-begun
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := s.Shutdown(); err != nil {
				t.Errorf("shut down: %v", err)
			}
			wg.Wait()
		}()
		select {
		case <-done:
		case <-time.After(30 * time.Second):
			t.Fatal("commands still wait for a server that has stopped")
		}
	}
}
