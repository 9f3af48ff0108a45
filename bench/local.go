package main

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/fsm"
	"github.com/rollcall-id/rollcall/keyring"
	"github.com/rollcall-id/rollcall/structs"
)

const (
	applyBatch  = 64
	signRounds  = 10_000
	checkRounds = 5_000
)

// measureApply applies status updates, each changing state, to a fleet of that size, in batches as Raft hands
// them over under load.
func measureApply(nodes int) (float64, error) {
	machine := fsm.New(fsm.Config{})
	f, err := newFleet("global", nodes)
	if err != nil {
		return 0, err
	}
	index := uint64(0)
	entry := func(t structs.MessageType, req any) (*raft.Log, error) {
		index++
		data, err := structs.Encode(t, req)
		return &raft.Log{Index: index, Term: 1, Type: raft.LogCommand, Data: data}, err
	}
	apply := func(logs []*raft.Log) error {
		for _, r := range machine.ApplyBatch(logs) {
			if err, ok := r.(error); ok && err != nil {
				return err
			}
		}
		return nil
	}
	var logs []*raft.Log
	for _, n := range f.nodes {
		l, err := entry(structs.NodeRegisterMsg, &structs.NodeRegisterRequest{Node: n, CreateNodePool: true})
		if err != nil {
			return 0, err
		}
		logs = append(logs, l)
	}
	if err := apply(logs); err != nil {
		return 0, fmt.Errorf("apply registrations: %w", err)
	}
	statuses := []string{structs.NodeStatusReady, structs.NodeStatusDown}
	var batches [][]*raft.Log
	calls := 0
	for round := range 2 + 20_000/nodes {
		for start := 0; start < nodes; start += applyBatch {
			batch := make([]*raft.Log, 0, applyBatch)
			for i := start; i < min(start+applyBatch, nodes); i++ {
				l, err := entry(structs.NodeUpdateStatusMsg, &structs.NodeUpdateStatusRequest{
					NodeID: f.nodes[i].ID, Status: statuses[round%2], UpdatedAt: int64(round),
				})
				if err != nil {
					return 0, err
				}
				batch = append(batch, l)
			}
			batches = append(batches, batch)
			calls += len(batch)
		}
	}
	began := time.Now()
	for _, b := range batches {
		if err := apply(b); err != nil {
			return 0, fmt.Errorf("apply status updates: %w", err)
		}
	}
	return float64(calls) / time.Since(began).Seconds(), nil
}

// measureKeyring signs node identities and verifies them, each for the first time and again.
func measureKeyring() (sign, verify, again float64, err error) {
	ring, err := keyring.New(keyring.Config{})
	if err != nil {
		return 0, 0, 0, err
	}
	now := time.Now()
	key, err := ring.NewRootKey(keyring.KeySpec{ID: "00000000-0000-0000-0000-000000000001", Now: now, State: structs.KeyStateActive})
	if err != nil {
		return 0, 0, 0, err
	}
	ring.Set(context.Background(), []*structs.RootKey{key})
	node := &structs.Node{ID: "00000000-0000-0000-0000-000000000002", NodePool: "default", NodeClass: "bench", Datacenter: "dc1"}
	tokens := make([]string, signRounds)
	began := time.Now()
	for i := range tokens {
		claims := structs.NewNodeClaims("global", node, structs.Lifetime{ID: fmt.Sprint(i), Now: now, TTL: time.Hour})
		signed, err := ring.Sign(claims)
		if err != nil {
			return 0, 0, 0, err
		}
		tokens[i] = signed.Token
	}
	sign = signRounds / time.Since(began).Seconds()

	// Another ring has not seen these tokens, so the first look at each is a whole verification.
	other, err := keyring.New(keyring.Config{})
	if err != nil {
		return 0, 0, 0, err
	}
	other.Set(context.Background(), []*structs.RootKey{key})
	check := func() (float64, error) {
		began := time.Now()
		for _, t := range tokens[:checkRounds] {
			if _, err := other.Verify(t, now); err != nil {
				return 0, err
			}
		}
		return checkRounds / time.Since(began).Seconds(), nil
	}
	if verify, err = check(); err != nil {
		return 0, 0, 0, err
	}
	again, err = check()
	return sign, verify, again, err
}
