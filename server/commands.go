package server

import (
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/structs"
)

// commandsLimit is how long a server that stops waits for the commands that are under way. Raft answers each well
// within it, if only that leadership is lost, unless the disk hangs.
const commandsLimit = 10 * time.Second

// errStopping says by ErrNoLeader that nothing was done, so that whoever forwarded the call asks the next leader.
var errStopping = fmt.Errorf("server is stopping: %w", structs.ErrNoLeader)

// commands are the questions to Raft that wait for their answer. Raft forgets those that are still in its queue
// when it is shut down, and whoever waits for one waits for ever; so it is shut down when there are none. The zero
// value is ready; it is safe for concurrent use.
type commands struct {
	mu     sync.RWMutex // held shared while a question is counted, so that none is once closed is set
	closed bool
	open   sync.WaitGroup
}

// enter counts a question, or reports that the server is stopping. leave ends the count.
func (c *commands) enter() error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed {
		return errStopping
	}
	c.open.Add(1)
	return nil
}

func (c *commands) leave() { c.open.Done() }

// close refuses further questions and waits for those that were asked, at most for limit. It reports whether all
// were answered.
func (c *commands) close(limit time.Duration) bool {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	answered := make(chan struct{})
	go func() {
		c.open.Wait()
		close(answered)
	}()
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-answered:
		return true
	case <-t.C:
		return false
	}
}

// ask asks Raft one question and waits for the answer.
func (c *commands) ask(question func() raft.Future) error {
	if err := c.enter(); err != nil {
		return err
	}
	defer c.leave()
	return question().Error()
}

// countedFuture leaves the count of commands with its answer.
type countedFuture struct {
	raft.ApplyFuture
	once  sync.Once
	leave func()
}

// Error waits for the answer.
func (f *countedFuture) Error() error {
	defer f.once.Do(f.leave)
	return f.ApplyFuture.Error()
}
