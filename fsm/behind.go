package fsm

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"
)

// DeferredSource is a source of a state that may be loaded after Restore has returned, since it is kept: the snapshot that
// a follower has received. Raft answers the leader when Restore returns, and does nothing else until then.
type DeferredSource interface {
	// Detach hands over the reader, which the taker closes; nil if the state has to be loaded before Restore returns.
	Detach() io.ReadCloser
}

// errLoading is why there is no snapshot of a state that is not here yet. Raft tries again later.
var errLoading = errors.New("the state of a received snapshot is still being loaded")

// mostWaiting is how many bytes of entries wait for a state to be loaded before Raft has to.
const mostWaiting = 64 << 20

// behind is what is done behind Raft's back: a state is being loaded, and the entries that follow it wait.
type behind struct {
	mu      sync.Mutex
	done    chan struct{} // closed when all is done; nil if nothing is to do
	waiting [][]*raft.Log
	size    int // of the waiting entries, in bytes
}

func (b *behind) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done = make(chan struct{})
}

// add has the entries wait, if there is something to wait for. If too many do it returns when none has to any more.
func (b *behind) add(entries []*raft.Log) bool {
	b.mu.Lock()
	if b.done == nil {
		b.mu.Unlock()
		return false
	}
	if b.size > mostWaiting {
		done := b.done
		b.mu.Unlock()
		<-done
		return false
	}
	defer b.mu.Unlock()
	b.waiting = append(b.waiting, entries)
	for _, e := range entries {
		b.size += len(e.Data)
	}
	return true
}

// next returns entries that wait, or nil and that all is done.
func (b *behind) next() []*raft.Log {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		close(b.done)
		b.done, b.waiting, b.size = nil, nil, 0
		return nil
	}
	entries := b.waiting[0]
	b.waiting[0] = nil
	b.waiting = b.waiting[1:]
	for _, e := range entries {
		b.size -= len(e.Data)
	}
	return entries
}

func (b *behind) busy() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.done != nil
}

// Settle returns when the state is the one that Raft takes it for: it waits for a received snapshot to be loaded and for
// the entries that came meanwhile to be applied. A server waits for that before it leads, since barriers of Raft don't.
func (f *FSM) Settle() {
	f.behind.mu.Lock()
	done := f.behind.done
	f.behind.mu.Unlock()
	if done != nil {
		<-done
	}
}

// loadBehind loads the state and applies what comes meanwhile, in a goroutine of its own: until that has ended the
// goroutine that Raft calls on applies nothing. What can't be loaded stops the FSM, as an entry does that can't be applied.
func (f *FSM) loadBehind(src io.ReadCloser) {
	f.behind.begin()
	go func() {
		err := f.load(src)
		_ = src.Close() // only read from
		if err != nil {
			f.stop(&LogError{Err: fmt.Errorf("%w: %w", ErrUnreadableSnapshot, err)})
		}
		for entries := f.behind.next(); entries != nil; entries = f.behind.next() {
			f.applyBatch(entries)
		}
	}()
}
