package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-uuid"

	"github.com/rollcall-id/rollcall/state"
	"github.com/rollcall-id/rollcall/structs"
)

const (
	// barrierTimeout is how long a new leader may take to apply what was committed before its term.
	barrierTimeout = 2 * time.Minute
	// establishRetry is the pause before a leader that could not set itself up tries again.
	establishRetry = time.Second
)

// watchLeadership follows the elections until the server stops.
func (s *Server) watchLeadership() {
	var stop context.CancelFunc
	var done chan struct{}
	step := func(leads bool) {
		if stop != nil {
			stop() // first, or a term that is just being set up would be ready after all
			s.stepDown()
			<-done
			stop = nil
		}
		if leads {
			var ctx context.Context
			ctx, stop = context.WithCancel(s.ctx)
			done = make(chan struct{})
			go func() {
				defer close(done)
				s.lead(ctx)
			}()
		}
	}
	for {
		select {
		case leads := <-s.leaderCh:
			step(leads)
		case <-s.ctx.Done():
			step(false)
			return
		}
	}
}

// stepDown ends everything that only a leader may do, at once.
func (s *Server) stepDown() {
	s.readyMu.Lock()
	s.ready.Store(false)
	s.readyMu.Unlock()
	s.lease.drop()
	s.heartbeats.disable()
}

// becomeReady lets calls in, unless the term is over. It may have ended while it was set up, and this server may lead
// again since, without having applied what was committed in between.
func (s *Server) becomeReady(ctx context.Context) {
	s.readyMu.Lock()
	defer s.readyMu.Unlock()
	if ctx.Err() == nil {
		s.ready.Store(true)
		s.log.Info("ready to serve as the leader")
	}
}

// lead is one term as the leader: apply what earlier terms committed, set up what a leader needs, serve.
func (s *Server) lead(ctx context.Context) {
	s.log.Info("won the election")
	defer s.log.Info("leadership ended")
	var st *state.Store // which the heartbeat timers were set up from
	for {
		var err error
		if st, err = s.establish(ctx); err == nil {
			break
		}
		if ctx.Err() != nil {
			return
		}
		s.log.Error("leadership not established, trying again", "error", err)
		if pause(ctx, establishRetry) != nil {
			return
		}
	}
	defer s.stepDown()
	s.autopilot.Start(ctx)
	defer func() { <-s.autopilot.Stop() }()

	s.becomeReady(ctx)

	var tasks taskGroup
	tasks.run(func() { s.markDown(ctx.Done()) })
	tasks.run(func() { s.reconcileLoop(ctx) })
	tasks.run(func() { s.every(ctx, s.cfg.Keys.Interval, "root keys", s.maintainKeys) })
	tasks.run(func() {
		s.every(ctx, s.cfg.NodeGC.Interval, "node collection", func(ctx context.Context) error {
			return s.collectNodes(ctx, s.cfg.NodeGC.Threshold)
		})
	})
	tasks.run(func() { s.every(ctx, s.cfg.NodeGC.Interval, "ACL token collection", s.collectTokens) })
	tasks.run(func() { s.followRestores(ctx, st) })
	tasks.run(func() { s.completeDrains(ctx) })
	tasks.run(func() { s.checkDigests(ctx) })
	<-ctx.Done()
	s.stepDown()
	tasks.wait()
}

// establish brings the new leader up to date and writes what a cluster must have. It returns the state from which
// it set up the heartbeat timers.
func (s *Server) establish(ctx context.Context) (*state.Store, error) {
	if err := s.barrier(); err != nil {
		return nil, fmt.Errorf("apply the entries of earlier terms: %w", err)
	}
	if err := s.ensureRecords(); err != nil {
		return nil, err
	}
	if err := s.ensureRootKey(ctx); err != nil {
		return nil, err
	}
	if err := s.openFeatures(); err != nil {
		return nil, err
	}
	return s.startHeartbeats()
}

// startHeartbeats gives every node that is not down its timer. It stops the old ones before it looks which nodes
// there are: one that registers meanwhile is either seen or has set its own timer.
func (s *Server) startHeartbeats() (*state.Store, error) {
	s.heartbeats.stopAll()
	st := s.fsm.State()
	nodes, err := st.Nodes(nil)
	if err != nil {
		return nil, fmt.Errorf("list nodes for their heartbeat timers: %w", err)
	}
	s.heartbeats.enable(nodes)
	return st, nil
}

// ensureRecords writes the cluster's own records where there are none.
func (s *Server) ensureRecords() error {
	st := s.fsm.State()
	pilot, err := st.AutopilotConfig(nil)
	if err != nil {
		return fmt.Errorf("read autopilot configuration: %w", err)
	}
	if pilot == nil {
		req := &structs.AutopilotSetConfigRequest{Datacenter: s.cfg.Datacenter, Config: s.cfg.Autopilot}
		if _, err := (applier{s}).Apply(structs.AutopilotMsg, req); err != nil {
			return fmt.Errorf("write autopilot configuration: %w", err)
		}
	}
	sched, err := st.SchedulerConfig(nil)
	if err != nil {
		return fmt.Errorf("read scheduler configuration: %w", err)
	}
	if sched == nil {
		req := &structs.SchedulerSetConfigRequest{Config: *structs.DefaultSchedulerConfiguration()}
		if _, err := (applier{s}).Apply(structs.SchedulerConfigMsg, req); err != nil {
			return fmt.Errorf("write scheduler configuration: %w", err)
		}
	}
	meta, err := st.ClusterMetadata(nil)
	if err != nil {
		return fmt.Errorf("read cluster metadata: %w", err)
	}
	if meta != nil {
		return nil
	}
	id, err := uuid.GenerateUUID()
	if err != nil {
		return fmt.Errorf("make cluster ID: %w", err)
	}
	req := &structs.ClusterMetadata{ClusterID: id, CreateTime: s.cfg.Clock().UnixNano()}
	if _, err := (applier{s}).Apply(structs.ClusterMetadataMsg, req); err != nil {
		return fmt.Errorf("write cluster metadata: %w", err)
	}
	return nil
}

// every runs task now and then at each interval until ctx ends.
func (s *Server) every(ctx context.Context, interval time.Duration, name string, task func(context.Context) error) {
	for {
		if err := task(ctx); err != nil && !errors.Is(err, context.Canceled) {
			s.log.Error("periodic task did not finish", "task", name, "error", err)
		}
		if pause(ctx, interval) != nil {
			return
		}
	}
}

// followRestores sets up the timers anew whenever a restore replaces the state st under a leader.
func (s *Server) followRestores(ctx context.Context, st *state.Store) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-st.AbandonCh():
		}
		next, err := s.startHeartbeats()
		if err == nil {
			st = next
			continue
		}
		s.log.Error("heartbeat timers not set up after a restore, trying again", "error", err)
		if pause(ctx, establishRetry) != nil {
			return
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
