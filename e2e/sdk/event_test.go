//go:build e2e

package sdk

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	nomad "github.com/hashicorp/nomad/api"
)

// next returns the next events of a stream that has any; heartbeats are frames without.
func next(ctx context.Context, t *testing.T, frames <-chan *nomad.Events) *nomad.Events {
	t.Helper()
	for {
		select {
		case f, open := <-frames:
			if !open {
				t.Fatal("the stream ended")
			}
			must(t, f.Err)
			if len(f.Events) > 0 {
				return f
			}
		case <-ctx.Done():
			t.Fatal("no event came")
		}
	}
}

func TestEvents(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	pools := client(t).NodePools()
	put := &nomad.NodePool{Name: "watched", Description: "boxes", Meta: map[string]string{"site": "oslo"}, NodeIdentityTTL: time.Hour}
	topics := map[nomad.Topic][]string{"NodePool": {put.Name}}
	follow := func(address string, index uint64) <-chan *nomad.Events {
		t.Helper()
		frames, err := clientOf(t, address).EventStream().Stream(ctx, topics, index, nil)
		must(t, err)
		return frames
	}
	var streams []<-chan *nomad.Events
	for _, s := range world.cluster.Servers {
		streams = append(streams, follow(s.HTTP, 0))
	}
	added, err := pools.Register(put, nil)
	must(t, err)
	removed, err := pools.Delete(put.Name, nil)
	must(t, err)

	want := *put
	want.CreateIndex, want.ModifyIndex = added.LastIndex, added.LastIndex
	for i, frames := range append(streams, follow(world.cluster.Servers[0].HTTP, added.LastIndex)) {
		f := next(ctx, t, frames)
		e := f.Events[0]
		if f.Index != added.LastIndex || e.Index != added.LastIndex || e.Topic != "NodePool" || e.Type != "NodePoolUpserted" || e.Key != put.Name {
			t.Errorf("stream %d: frame %d with %+v, want index %d", i, f.Index, e, added.LastIndex)
		}
		got, err := e.NodePool()
		must(t, err)
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("stream %d: pool (-put +got):\n%s", i, diff)
		}
		f = next(ctx, t, frames)
		if e := f.Events[0]; f.Index != removed.LastIndex || e.Type != "NodePoolDeleted" || e.Key != put.Name {
			t.Errorf("stream %d: frame %d with %+v, want index %d", i, f.Index, e, removed.LastIndex)
		}
	}
}
