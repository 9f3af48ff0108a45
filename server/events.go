package server

import (
	"context"

	"github.com/rollcall-id/rollcall/events"
	"github.com/rollcall-id/rollcall/fsm"
	"github.com/rollcall-id/rollcall/rpc"
	"github.com/rollcall-id/rollcall/structs"
)

var _ fsm.Publisher = (*events.Broker)(nil)

// eventSource is the event buffer as endpoints see it.
type eventSource struct{ *events.Broker }

var _ rpc.Events = eventSource{}

func (s eventSource) Subscribe(req *structs.EventStreamRequest) (rpc.EventSubscription, error) {
	sub, err := s.Broker.Subscribe(req)
	if err != nil {
		return nil, err
	}
	return eventSubscription{sub}, nil
}

type eventSubscription struct{ *events.Subscription }

func (s eventSubscription) Next(ctx context.Context) (uint64, []structs.Event, error) {
	f, err := s.Subscription.Next(ctx)
	return f.Index, f.Events, err
}
