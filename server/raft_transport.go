package server

import (
	"context"
	"sync"

	"github.com/hashicorp/raft"
)

// strictTransport keeps heartbeats on Raft's main loop. The library's fast path for them changes term and state
// from the connection's goroutine, unsynchronised with the loop that writes the log, so that an old leader can
// write under a new leader's term after a partition heals (hashicorp/raft issue 695). Through the loop they wait
// behind disk writes, which the timeouts allow for.
//
// They can't wait behind the installation of a snapshot, which keeps the loop for as long as the state takes to
// arrive: followers that are silent meanwhile would cost the leader its lease. A server that installs one
// is a follower and writes no log, so the fast path is safe for that while and is used for it.
type strictTransport struct {
	*raft.NetworkTransport
	ctx   context.Context                        // ends with the server
	out   chan raft.RPC                          // what Raft's main loop consumes
	check func(*raft.AppendEntriesRequest) error // says what Raft must not see

	mu       sync.Mutex    // guards the fields below
	installs int           // that the main loop has been given and has not answered
	busy     chan struct{} // closed while there are any
}

var (
	_ raft.WithPreVote = (*strictTransport)(nil)
	_ raft.WithClose   = (*strictTransport)(nil)
)

// newStrictTransport wraps t until ctx ends. Entries that check returns an error for are refused with it.
func newStrictTransport(ctx context.Context, t *raft.NetworkTransport, check func(*raft.AppendEntriesRequest) error) *strictTransport {
	s := &strictTransport{NetworkTransport: t, check: check, ctx: ctx, out: make(chan raft.RPC), busy: make(chan struct{})}
	go s.forward(t.Consumer())
	return s
}

// Consumer is where Raft's main loop takes its messages from.
func (t *strictTransport) Consumer() <-chan raft.RPC { return t.out }

// SetHeartbeatHandler takes the library's fast path, fast, for use while a snapshot is installed.
func (t *strictTransport) SetHeartbeatHandler(fast func(raft.RPC)) {
	if fast == nil {
		t.NetworkTransport.SetHeartbeatHandler(nil)
		return
	}
	t.NetworkTransport.SetHeartbeatHandler(func(rpc raft.RPC) { t.heartbeat(rpc, fast) })
}

// heartbeat runs on the goroutine of the connection that the heartbeat came over.
func (t *strictTransport) heartbeat(rpc raft.RPC, fast func(raft.RPC)) {
	busy := t.installing()
	select {
	case <-busy:
		fast(rpc)
		return
	default:
	}
	select {
	case t.out <- rpc:
	case <-busy:
		fast(rpc)
	case <-t.ctx.Done():
		rpc.Respond(nil, raft.ErrTransportShutdown)
	}
}

func (t *strictTransport) installing() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.busy
}

// forward hands messages to the main loop and notes when it gets a snapshot to install.
func (t *strictTransport) forward(in <-chan raft.RPC) {
	for {
		var rpc raft.RPC
		select {
		case rpc = <-in:
		case <-t.ctx.Done():
			return
		}
		begin := func() {}
		switch req := rpc.Command.(type) {
		case *raft.InstallSnapshotRequest:
			rpc, begin = t.noteAnswer(rpc)
		case *raft.AppendEntriesRequest:
			if err := t.check(req); err != nil {
				rpc.Respond(nil, err)
				continue
			}
		}
		select {
		case t.out <- rpc:
			begin()
		case <-t.ctx.Done():
			return
		}
	}
}

// noteAnswer makes the answer to the message pass through here. begin, called once the main loop has the message,
// marks the time until then.
func (t *strictTransport) noteAnswer(rpc raft.RPC) (_ raft.RPC, begin func()) {
	caller, here := rpc.RespChan, make(chan raft.RPCResponse, 1)
	rpc.RespChan = here
	return rpc, func() {
		t.noteInstalls(1)
		go func() {
			defer t.noteInstalls(-1)
			select {
			case resp := <-here:
				caller <- resp
			case <-t.ctx.Done():
			}
		}()
	}
}

func (t *strictTransport) noteInstalls(change int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.installs
	t.installs += change
	switch {
	case before == 0:
		close(t.busy)
	case t.installs == 0:
		t.busy = make(chan struct{})
	}
}
