package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-uuid"

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
			s.stepDown()
			stop()
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
	s.ready.Store(false)
	s.lease.drop()
	s.heartbeats.disable()
}

// lead is one term as the leader: apply what earlier terms committed, set up what a leader needs, serve.
func (s *Server) lead(ctx context.Context) {
	s.log.Info("won the election")
	defer s.log.Info("leadership ended")
	for {
		err := s.establish(ctx)
		if err == nil {
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

	s.ready.Store(true)
	s.log.Info("ready to serve as the leader")

	var tasks taskGroup
	tasks.run(func() { s.markDown(ctx.Done()) })
	tasks.run(func() { s.reconcileLoop(ctx) })
	tasks.run(func() { s.every(ctx, s.cfg.Keys.Interval, "root keys", s.maintainKeys) })
	tasks.run(func() {
		s.every(ctx, s.cfg.NodeGC.Interval, "node collection", func(ctx context.Context) error {
			return s.collectNodes(ctx, s.cfg.NodeGC.Threshold)
		})
	})
	tasks.run(func() { s.followRestores(ctx) })
	<-ctx.Done()
	s.stepDown()
	tasks.wait()
}

// establish brings the new leader up to date and writes what a cluster must have.
func (s *Server) establish(ctx context.Context) error {
	if err := s.raft.Barrier(barrierTimeout).Error(); err != nil {
		return fmt.Errorf("apply the entries of earlier terms: %w", err)
	}
	if err := s.ensureRecords(); err != nil {
		return err
	}
	if err := s.ensureRootKey(ctx); err != nil {
		return err
	}
	return s.startHeartbeats()
}

// startHeartbeats gives every node that is not down its timer.
func (s *Server) startHeartbeats() error {
	nodes, err := s.fsm.State().Nodes(nil)
	if err != nil {
		return fmt.Errorf("list nodes for their heartbeat timers: %w", err)
	}
	s.heartbeats.enable(nodes)
	return nil
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

// followRestores sets up the timers anew whenever a restore replaces the state under a leader.
func (s *Server) followRestores(ctx context.Context) {
	for {
		st := s.fsm.State()
		select {
		case <-ctx.Done():
			return
		case <-st.AbandonCh():
		}
		s.heartbeats.disable()
		if err := s.startHeartbeats(); err != nil {
			s.log.Error("heartbeat timers not set up after a restore", "error", err)
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
