package server

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/fsm"
	"github.com/rollcall-id/rollcall/structs"
)

// fill proposes enough commands for another digest check, and waits for them.
func fill(t *testing.T, leader *Server) {
	t.Helper()
	var futures []raft.ApplyFuture
	for range fsm.DigestInterval + 1 {
		f, err := leader.propose(structs.NodeRegisterMsg, &structs.NodeRegisterRequest{Node: testNode()})
		if err != nil {
			t.Fatal(err)
		}
		futures = append(futures, f)
	}
	for _, f := range futures {
		if _, err := outcome(structs.NodeRegisterMsg, f); err != nil {
			t.Fatal(err)
		}
	}
}

// checkedAfter waits until the servers have found their states to be the same after an entry beyond index.
func checkedAfter(t *testing.T, index uint64, servers ...*Server) (last uint64) {
	t.Helper()
	for _, s := range servers {
		eventually(t, s.cfg.NodeName+" compares its digest", func() error {
			d, err := s.StateDigest()
			if err == nil && d.LastCheckIndex <= index {
				err = fmt.Errorf("last check %d of %+v", d.LastCheckIndex, d)
			}
			last = d.LastCheckIndex
			return err
		})
	}
	return last
}

func TestAServerWhoseStateDiffersStopsAndTheOthersGoOn(t *testing.T) {
	servers := cluster(t, 3, nil)
	leader := waitLeader(t, servers...)
	var followers []*Server
	for _, s := range servers {
		if s != leader {
			followers = append(followers, s)
		}
	}
	fill(t, leader)
	last := checkedAfter(t, 0, servers...)

	astray, sound := followers[0], followers[1]
	txn := astray.fsm.State().WriteTxn()
	if err := txn.UpsertNode(3, &structs.NodeRegisterRequest{Node: testNode()}); err != nil {
		t.Fatal(err)
	}
	txn.Commit()
	fill(t, leader)
	eventually(t, "the server stops", func() error {
		select {
		case err := <-astray.Failed():
			var mismatch *fsm.DigestMismatch
			if !errors.As(err, &mismatch) || mismatch.Index <= last {
				t.Errorf("it failed with: %v", err)
			}
			return nil
		default:
			return errors.New("it goes on with another state")
		}
	})
	checkedAfter(t, last, leader, sound)
	for _, s := range []*Server{leader, sound} {
		select {
		case err := <-s.Failed():
			t.Errorf("%s failed, too: %v", s.cfg.NodeName, err)
		default:
		}
		d, err := s.StateDigest()
		if err != nil || d.Skipped != 0 || len(d.Digest) != 64 {
			t.Errorf("%s: %+v, %v", s.cfg.NodeName, d, err)
		}
	}
	if reply := register(t, newPool(t), sound.RPCAddr(), testNode(), ""); reply.SignedIdentity == nil {
		t.Error("the cluster gives out no identities any more")
	}
}
