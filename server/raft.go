package server

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/rpc"
	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

const (
	raftMaxPool          = 3
	raftTransportTimeout = 10 * time.Second
	// maxRaftConns bounds the Raft connections from one address. A peer needs raftMaxPool and one a pipeline, and a few more
	// while it reconnects; each costs a quarter of a megabyte, and the library never gives up on a peer that stays silent.
	maxRaftConns = 128
	// maxAppendEntries bounds the commands that share one write to disk and one message to a follower.
	maxAppendEntries = 512
	// commitTimeout is after how long, up to twice of it, a leader that has nothing else to say tells followers what is committed, and
	// tries again what failed. Until then they answer stale reads and waiting queries with what was before.
	commitTimeout = 20 * time.Millisecond
	// applyTimeout is how long a command waits to enter Raft's queue before the caller is told to slow down.
	applyTimeout = 10 * time.Second
)

// streamLayer gives Raft the connections that arrive on the RPC port with its first byte. Raft's transport does
// not end those it serves when it is closed, so this does.
type streamLayer struct {
	*transport.RaftLayer
	log  hclog.Logger
	mu   sync.Mutex // guards the fields below
	open map[net.Conn]struct{}
	from map[string]int // open ones by source address
}

func newStreamLayer(l *transport.RaftLayer, log hclog.Logger) *streamLayer {
	return &streamLayer{RaftLayer: l, log: log, open: make(map[net.Conn]struct{}), from: make(map[string]int)}
}

// Dial connects to another server's Raft.
func (l *streamLayer) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return l.RaftLayer.Dial(string(addr), timeout)
}

// Accept returns the next connection and keeps it in sight until it is closed. Those of an address that has too many are
// closed at once.
func (l *streamLayer) Accept() (net.Conn, error) {
	for {
		conn, err := l.RaftLayer.Accept()
		if err != nil {
			return nil, err
		}
		if l.keep(conn) {
			return &raftConn{Conn: conn, layer: l}, nil
		}
		l.log.Warn("too many Raft connections from this address", "from", conn.RemoteAddr(), "most", maxRaftConns)
		_ = conn.Close() // nothing was sent
	}
}

func (l *streamLayer) keep(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	source := sourceOf(conn)
	if l.from[source] >= maxRaftConns {
		return false
	}
	l.from[source]++
	l.open[conn] = struct{}{}
	return true
}

// forget ends the count of a connection; further calls do nothing.
func (l *streamLayer) forget(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, open := l.open[conn]; !open {
		return
	}
	delete(l.open, conn)
	source := sourceOf(conn)
	if l.from[source]--; l.from[source] == 0 {
		delete(l.from, source)
	}
}

// sourceOf is the address that connections are counted under, without the port.
func sourceOf(conn net.Conn) string {
	addr := conn.RemoteAddr().String()
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}

// closeConns ends the connections that are still served.
func (l *streamLayer) closeConns() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		_ = c.Close() // the peer sees it; there is no one else to tell
	}
}

// raftConn leaves its layer's sight when it is closed.
type raftConn struct {
	net.Conn
	layer *streamLayer
}

// Close closes the connection.
func (c *raftConn) Close() error {
	c.layer.forget(c.Conn)
	return c.Conn.Close()
}

func (s *Server) raftConfig() *raft.Config {
	c := raft.DefaultConfig()
	t, mult := s.cfg.Raft, time.Duration(s.cfg.Raft.Multiplier)
	if t.HeartbeatTimeout > 0 {
		c.HeartbeatTimeout = t.HeartbeatTimeout
	}
	if t.ElectionTimeout > 0 {
		c.ElectionTimeout = t.ElectionTimeout
	}
	if t.LeaderLease > 0 {
		c.LeaderLeaseTimeout = t.LeaderLease
	}
	c.HeartbeatTimeout *= mult
	c.ElectionTimeout *= mult
	c.LeaderLeaseTimeout *= mult
	c.LocalID = raft.ServerID(s.id)
	c.ProtocolVersion = raftProtocol
	c.BatchApplyCh = true
	c.MaxAppendEntries = maxAppendEntries
	c.CommitTimeout = commitTimeout
	c.ShutdownOnRemove = false
	c.TrailingLogs = t.TrailingLogs
	c.SnapshotThreshold = t.SnapshotThreshold
	c.SnapshotInterval = t.SnapshotInterval
	c.NotifyCh = s.leaderCh
	c.Logger = s.log.Named("raft")
	return c
}

// startRaft opens the files and starts Raft. A single server that expects no others forms its cluster here;
// more than one form it once gossip has brought them together.
func (s *Server) startRaft() error {
	st, err := openStores(s.cfg.DataDir, s.cfg.Raft, s.log, s.fail)
	if err != nil {
		return err
	}
	s.stores = st
	if err := s.dropSuperseded(); err != nil {
		return err
	}
	if err := s.noteNewestSnapshot(); err != nil {
		return err
	}
	s.raftLayer = newStreamLayer(s.transport.RaftLayer(), s.log.Named("raft-net"))
	s.raftTransport = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: s.raftLayer, MaxPool: raftMaxPool, Timeout: raftTransportTimeout,
		Logger: s.log.Named("raft-net"), MsgpackUseNewTimeFormat: true,
	})
	s.raftConf = s.raftConfig()
	return s.loadRaft(newStrictTransport(s.ctx, s.raftTransport, s.checkAppend))
}

// loadRaft brings Raft up on what the files hold. The libraries panic over a file that is damaged or a log with
// a hole in it; here that is an error.
func (s *Server) loadRaft(trans raft.Transport) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("start Raft from %s: %v: %w", filepath.Join(s.cfg.DataDir, "raft"), r, errDamagedLog)
		}
	}()
	st, conf := s.stores, s.raftConf
	if err := s.recoverPeers(conf, st, trans); err != nil {
		return err
	}
	if s.cfg.BootstrapExpect == 1 {
		has, err := raft.HasExistingState(st.log, st.stable, st.snaps)
		if err != nil {
			return fmt.Errorf("look for existing Raft state: %w", err)
		}
		if !has {
			one := raft.Configuration{Servers: []raft.Server{{ID: conf.LocalID, Address: trans.LocalAddr()}}}
			if err := raft.BootstrapCluster(conf, st.log, st.stable, st.snaps, trans, one); err != nil {
				return fmt.Errorf("bootstrap single-server cluster: %w", err)
			}
		}
	}
	if s.raft, err = raft.NewRaft(conf, s.fsm, st.log, st.stable, st.snaps, trans); err != nil {
		return fmt.Errorf("start Raft from %s: %w", filepath.Join(s.cfg.DataDir, "raft"), err)
	}
	return nil
}

// applier proposes commands.
type applier struct{ s *Server }

var _ rpc.Applier = applier{}

// Apply proposes one command and waits for its result.
func (a applier) Apply(t structs.MessageType, msg any) (rpc.Applied, error) {
	f, err := a.s.propose(t, msg)
	if err != nil {
		return rpc.Applied{}, err
	}
	return outcome(t, f)
}

// propose enters a command into Raft's queue without waiting for it, so that several can share a write. Whoever
// proposes takes the outcome.
func (s *Server) propose(t structs.MessageType, msg any) (raft.ApplyFuture, error) {
	buf, err := structs.Encode(t, msg)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", t, err)
	}
	if err := s.commands.enter(); err != nil {
		return nil, fmt.Errorf("%s not proposed: %w", t, err)
	}
	return &countedFuture{ApplyFuture: s.raft.Apply(buf, applyTimeout), leave: s.commands.leave}, nil
}

// barrier returns when this server, which leads, has applied all that was committed before.
func (s *Server) barrier() error {
	if err := s.commands.ask(func() raft.Future { return s.raft.Barrier(barrierTimeout) }); err != nil {
		return err
	}
	s.fsm.Settle()
	return nil
}

// verifyLeader asks a quorum whether this server leads.
func (s *Server) verifyLeader() error {
	return s.commands.ask(func() raft.Future { return s.raft.VerifyLeader() })
}

// errUnconfirmed is the answer when leadership ended while a command was on its way: the next leader may or may
// not commit it. It must not read like structs.ErrNoLeader, on which callers simply try again.
var errUnconfirmed = errors.New("leadership was lost while the change was being made: it may or may not have taken effect, look before you try again")

// outcome waits for a proposed command. An error that wraps structs.ErrNoLeader says that nothing was done.
func outcome(t structs.MessageType, f raft.ApplyFuture) (rpc.Applied, error) {
	switch err := f.Error(); {
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return rpc.Applied{}, structs.Coded(http.StatusTooManyRequests, "%w: the Raft queue is full", structs.ErrOverloaded)
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return rpc.Applied{}, fmt.Errorf("%w: %s not proposed: %w", structs.ErrNoLeader, t, err)
	case err != nil:
		return rpc.Applied{}, fmt.Errorf("%s: %w: %w", t, errUnconfirmed, err)
	}
	if err, ok := f.Response().(error); ok && err != nil {
		return rpc.Applied{}, err
	}
	return rpc.Applied{Index: f.Index(), Result: f.Response()}, nil
}
