package state

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/rollcall-id/rollcall/structs"
)

// model is the state as plain maps, with the rules written down as naively as they can be.
type model struct {
	nodes      map[string]*structs.Node
	pools      map[string]*structs.NodePool
	keys       map[string]*structs.RootKey
	namespaces map[string]*structs.Namespace
	uses       map[structs.KeyUse]bool
	gates      map[string]structs.FeatureGate
	acl        aclModel
	indexes    map[string]uint64
	meta       *structs.ClusterMetadata
	autopilot  *structs.AutopilotConfig
	scheduler  *structs.SchedulerConfiguration
}

func newModel() *model {
	m := &model{
		nodes: map[string]*structs.Node{}, pools: map[string]*structs.NodePool{}, keys: map[string]*structs.RootKey{},
		namespaces: map[string]*structs.Namespace{"default": {
			Name: "default", Description: "Default shared namespace", CreateIndex: 1, ModifyIndex: 1,
		}},
		uses: map[structs.KeyUse]bool{}, gates: map[string]structs.FeatureGate{}, acl: newACLModel(), indexes: map[string]uint64{"node_pools": 1, "namespaces": 1},
	}
	for _, p := range structs.BuiltinNodePools() {
		m.pools[p.Name] = p
	}
	return m
}

func copyMap[T any](m map[string]*T, c func(*T) *T) map[string]*T {
	out := map[string]*T{}
	for k, v := range m {
		out[k] = c(v)
	}
	return out
}

func (m *model) clone() *model {
	c := *m
	c.nodes = copyMap(m.nodes, (*structs.Node).Copy)
	c.pools = copyMap(m.pools, (*structs.NodePool).Copy)
	c.keys = copyMap(m.keys, (*structs.RootKey).Copy)
	c.namespaces = copyMap(m.namespaces, (*structs.Namespace).Copy)
	c.acl = m.acl.clone()
	c.uses, c.indexes, c.gates = maps.Clone(m.uses), maps.Clone(m.indexes), maps.Clone(m.gates)
	return &c
}

// event appends as the model knows it: all of them, then the last ten.
func (m *model) event(n *structs.Node, e *structs.NodeEvent, index uint64) {
	if e == nil {
		return
	}
	c := e.Copy()
	c.CreateIndex = index
	n.Events = append(n.Events, c)
	if len(n.Events) > 10 {
		n.Events = n.Events[len(n.Events)-10:]
	}
}

// signedWith is what naming a key means for a node; false when it may not be named.
func (m *model) signedWith(n *structs.Node, old *structs.Node, key string, ttl time.Duration) bool {
	same := old != nil && old.IdentitySigningKeyID == key
	if m.keys[key] == nil && (!same || ttl > 0) { // of ours with a TTL, each key has just signed
		return false
	}
	if same {
		if ttl != 0 && (old.IdentityTTL == 0 || old.IdentityTTL > ttl) {
			ttl = old.IdentityTTL
		}
	}
	n.IdentitySigningKeyID, n.IdentityTTL = key, ttl
	return true
}

func gone(status string) bool { return status == "down" || status == "disconnected" }

func (m *model) register(index uint64, r *structs.NodeRegisterRequest) bool {
	n := r.Node.Copy()
	n.SecretHash, n.SecretID = structs.HashSecret(n.SecretID), ""
	if n.NodePool == "" {
		n.NodePool = "default"
	}
	if n.SchedulingEligibility == "" {
		n.SchedulingEligibility = "eligible"
	}
	if n.DrainStrategy != nil {
		n.SchedulingEligibility = "ineligible"
	}
	old := m.nodes[n.ID]
	if n.IdentitySigningKeyID != "" && !m.signedWith(n, old, n.IdentitySigningKeyID, n.IdentityTTL) {
		return false
	}
	if r.CreateNodePool && m.pools[n.NodePool] == nil {
		p := &structs.NodePool{Name: n.NodePool, NodeIdentityTTL: 24 * time.Hour, CreateIndex: index, ModifyIndex: index}
		p.SetHash()
		m.pools[p.Name] = p
	}
	n.ModifyIndex, n.CreateIndex = index, index
	if old == nil {
		n.Events = []*structs.NodeEvent{{Message: "Node registered", Subsystem: "Cluster", Timestamp: time.Unix(n.StatusUpdatedAt, 0).UTC()}}
	} else {
		n.CreateIndex, n.Events, n.SchedulingEligibility = old.CreateIndex, old.Events, old.SchedulingEligibility
		n.DrainStrategy, n.LastDrain = old.DrainStrategy, old.LastDrain
		n.LastAllocUpdateIndex = max(n.LastAllocUpdateIndex, old.LastAllocUpdateIndex)
		n.LastMissedHeartbeatIndex = max(n.LastMissedHeartbeatIndex, old.LastMissedHeartbeatIndex)
		if gone(n.Status) && !gone(old.Status) {
			n.LastMissedHeartbeatIndex = index
		}
		if old.Status == "down" && n.Status != "down" {
			m.event(n, &structs.NodeEvent{Message: "Node re-registered", Subsystem: "Cluster", Timestamp: time.Unix(n.StatusUpdatedAt, 0).UTC()}, index)
		}
	}
	m.nodes[n.ID] = n
	m.indexes["nodes"] = index
	return true
}

func (m *model) status(index uint64, r *structs.NodeUpdateStatusRequest) bool {
	n := m.nodes[r.NodeID]
	if n == nil || !slices.Contains([]string{"initializing", "ready", "down", "disconnected"}, r.Status) {
		return false
	}
	if r.IdentitySigningKeyID != "" && !m.signedWith(n, n.Copy(), r.IdentitySigningKeyID, r.IdentityTTL) {
		return false
	}
	if gone(r.Status) && !gone(n.Status) {
		n.LastMissedHeartbeatIndex = index
	}
	if r.Status == "ready" && n.Status != "ready" {
		n.LastMissedHeartbeatIndex = 0
	}
	m.event(n, r.NodeEvent, index)
	n.Status, n.StatusUpdatedAt, n.ModifyIndex = r.Status, r.UpdatedAt, index
	m.indexes["nodes"] = index
	return true
}

func (m *model) deleteNodes(index uint64, list []string) bool {
	c := m.clone()
	for _, id := range list {
		if c.nodes[id] == nil {
			return false
		}
		delete(c.nodes, id)
	}
	if len(list) == 0 {
		return false
	}
	m.nodes, m.indexes["nodes"] = c.nodes, index
	return true
}

func (m *model) drain(index uint64, id string, s *structs.DrainStrategy, eligible bool, e *structs.NodeEvent, at int64, meta map[string]string, by, end string) {
	n := m.nodes[id]
	when := time.Unix(at, 0).UTC()
	switch {
	case n.DrainStrategy == nil && s != nil:
		n.LastDrain = &structs.DrainMetadata{StartedAt: when}
	case n.DrainStrategy != nil && n.LastDrain == nil:
		n.LastDrain = &structs.DrainMetadata{StartedAt: n.DrainStrategy.StartedAt.Truncate(time.Second)}
	}
	if d := n.LastDrain; d != nil && (n.DrainStrategy != nil || s != nil) {
		d.UpdatedAt, d.Status = when, end
		if s != nil {
			d.Status = "draining"
		}
		if len(meta) > 0 {
			d.Meta = meta
		}
		if by != "" {
			d.AccessorID = by
		}
	}
	n.DrainStrategy = s.Copy()
	if s != nil {
		n.SchedulingEligibility = "ineligible"
	} else if eligible {
		n.SchedulingEligibility = "eligible"
	}
	m.event(n, e, index)
	n.StatusUpdatedAt, n.ModifyIndex = at, index
	m.indexes["nodes"] = index
}

func (m *model) eligibility(index uint64, r *structs.NodeUpdateEligibilityRequest) bool {
	n := m.nodes[r.NodeID]
	if n == nil || r.Eligibility != "eligible" && r.Eligibility != "ineligible" || r.Eligibility == "eligible" && n.DrainStrategy != nil {
		return false
	}
	m.event(n, r.NodeEvent, index)
	n.SchedulingEligibility, n.StatusUpdatedAt, n.ModifyIndex = r.Eligibility, r.UpdatedAt, index
	m.indexes["nodes"] = index
	return true
}

func (m *model) putPools(index uint64, pools []*structs.NodePool) bool {
	for _, p := range pools {
		if p.Name == "all" || p.Name == "default" || p.NodeIdentityTTL < 0 {
			return false
		}
	}
	for _, p := range pools {
		c := p.Copy()
		c.CreateIndex, c.ModifyIndex = index, index
		if old := m.pools[p.Name]; old != nil {
			c.CreateIndex = old.CreateIndex
		}
		if c.NodeIdentityTTL == 0 {
			c.NodeIdentityTTL = 24 * time.Hour
		}
		c.SetHash()
		m.pools[p.Name] = c
		m.indexes["node_pools"] = index
	}
	return true
}

func (m *model) deletePools(index uint64, names []string) bool {
	c := m.clone()
	for _, name := range names {
		if name == "all" || name == "default" || c.pools[name] == nil {
			return false
		}
		for _, n := range m.nodes {
			if n.NodePool == name {
				return false
			}
		}
		delete(c.pools, name)
		c.indexes["node_pools"] = index
	}
	m.pools, m.indexes = c.pools, c.indexes
	return true
}

func (m *model) putKey(index uint64, k *structs.RootKey, rekey bool) bool {
	old := m.keys[k.KeyID]
	wasActive := old != nil && old.State == "active"
	becomesActive := k.State == "active" && !wasActive
	if rekey && !becomesActive || wasActive && k.State != "active" {
		return false
	}
	for _, other := range m.keys {
		switch {
		case !becomesActive:
		case rekey && (other.State == "active" || other.State == "inactive"):
			other.State, other.ModifyIndex = "rekeying", index
		case !rekey && other.State == "active":
			other.State, other.ModifyIndex = "inactive", index
		}
	}
	c := k.Copy()
	c.CreateIndex, c.ModifyIndex = index, index
	if old != nil {
		c.CreateIndex, c.CreateTime = old.CreateIndex, old.CreateTime
		if len(c.WrappedKeys) == 0 {
			c.WrappedKeys, c.SigningAlgorithm = old.WrappedKeys, old.SigningAlgorithm
		}
	}
	m.keys[k.KeyID] = c
	m.indexes["root_keys"] = index
	return true
}

func (m *model) users(id string, now int64) (u KeyUsers) {
	for _, n := range m.nodes {
		expired := n.Status == "down" && n.IdentityTTL > 0 && now > n.StatusUpdatedAt+int64(n.IdentityTTL/time.Second)+60
		if n.IdentitySigningKeyID == id && !expired {
			u.Nodes++
		}
	}
	for use := range m.uses {
		if use.KeyID == id {
			u.Foreign++
		}
	}
	return u
}

func (m *model) deleteKey(index uint64, r *structs.KeyringDeleteRequest) bool {
	k := m.keys[r.KeyID]
	if k == nil || k.State == "active" {
		return false
	}
	if u := m.users(r.KeyID, r.At); r.At != 0 && (u.Nodes > 0 || u.Foreign > 0 && !r.Force) {
		return false
	}
	delete(m.keys, r.KeyID)
	maps.DeleteFunc(m.uses, func(u structs.KeyUse, _ bool) bool { return u.KeyID == r.KeyID })
	m.indexes["root_keys"] = index
	return true
}

// sorted returns the values of a map in the order of its keys.
func sorted[T any](m map[string]T, keep func(T) bool) []T {
	var out []T
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if keep(m[k]) {
			out = append(out, m[k])
		}
	}
	return out
}

func every[T any](T) bool { return true }

// checkAgainst compares everything that can be read with the model.
func (m *model) checkAgainst(t *rapid.T, s *Store) {
	t.Helper()
	same := func(what string, got, want any) {
		t.Helper()
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", what, diff)
		}
	}
	nodes, pools := all[*structs.Node](t), all[*structs.NodePool](t)
	same("nodes", nodes(s.Nodes(nil)), sorted(m.nodes, every))
	same("node count", s.NodeCount(), len(m.nodes))
	same("pools", pools(s.NodePools(nil)), sorted(m.pools, every))
	same("root keys", all[*structs.RootKey](t)(s.RootKeys(nil)), sorted(m.keys, every))
	same("namespaces", all[*structs.Namespace](t)(s.Namespaces(nil)), sorted(m.namespaces, every))
	same("cluster metadata", value[*structs.ClusterMetadata](t)(s.ClusterMetadata(nil)), m.meta)
	same("autopilot", value[*structs.AutopilotConfig](t)(s.AutopilotConfig(nil)), m.autopilot)
	same("scheduler", value[*structs.SchedulerConfiguration](t)(s.SchedulerConfig(nil)), m.scheduler)

	for i := range modelNodes + 1 {
		same("node by ID", value[*structs.Node](t)(s.NodeByID(nil, nodeID(i))), m.nodes[nodeID(i)])
		hash := structs.HashSecret(secret(i))
		holders := ids(sorted(m.nodes, func(n *structs.Node) bool { return bytes.Equal(n.SecretHash, hash) }))
		got := value[*structs.Node](t)(s.NodeBySecretHash(hash))
		if (got == nil) != (len(holders) == 0) || got != nil && got.ID != holders[0] {
			t.Fatalf("node by secret %d: %v, want the first of %v", i, got, holders)
		}
	}
	prefix := nodeID(rapid.IntRange(0, modelNodes).Draw(t, "prefixOf"))[:rapid.IntRange(0, 36).Draw(t, "prefixLen")]
	same("nodes by prefix", ids(nodes(s.NodesByIDPrefix(nil, prefix))),
		ids(sorted(m.nodes, func(n *structs.Node) bool { return strings.HasPrefix(n.ID, prefix) })))
	for _, p := range append(slices.Collect(maps.Keys(m.pools)), "nopool") {
		same("nodes by pool "+p, ids(nodes(s.NodesByPool(nil, p))),
			ids(sorted(m.nodes, func(n *structs.Node) bool { return p == "all" || n.NodePool == p })))
	}
	now := rapid.Int64Range(1, 20000).Draw(t, "now")
	active := 0
	for i := range modelKeys + 1 {
		id := keyID(i)
		same("nodes by signing key", ids(nodes(s.NodesBySigningKey(nil, id))),
			ids(sorted(m.nodes, func(n *structs.Node) bool { return n.IdentitySigningKeyID == id })))
		same("key users", value[KeyUsers](t)(s.KeyUsers(id, now)), m.users(id, now))
		same("key in use", value[bool](t)(s.KeyInUse(id, now)), m.users(id, now).InUse())
		if k := m.keys[id]; k != nil && k.IsActive() {
			active++
			same("active key", value[*structs.RootKey](t)(s.ActiveRootKey(nil)), k)
		}
	}
	if active > 1 {
		t.Fatalf("%d active keys", active)
	}
	var latest uint64
	var entries []structs.IndexEntry
	for _, name := range slices.Sorted(maps.Keys(m.indexes)) {
		entries = append(entries, structs.IndexEntry{Key: name, Value: m.indexes[name]})
		latest = max(latest, m.indexes[name])
		same("index of "+name, value[uint64](t)(s.Index(name)), m.indexes[name])
	}
	same("indexes", value[[]structs.IndexEntry](t)(s.Indexes()), entries)
	same("latest index", value[uint64](t)(s.LatestIndex()), latest)
	same("key uses", len(s.KeyUses()), len(m.uses))
	m.acl.checkAgainst(t, s, same)
	var gates []structs.FeatureGate
	for _, g := range all[*structs.FeatureGate](t)(s.FeatureGates(nil)) {
		gates = append(gates, *g)
	}
	same("feature gates", gates, sorted(m.gates, every))
	for _, name := range []string{"a", "b", "never"} {
		_, open := m.gates[name]
		same("feature "+name, s.FeatureOpen(name), open)
	}
}

// TestAgainstModel drives random commands, valid and not, alone and in shared transactions, and compares state and
// model after every transaction.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, m := New(), newModel()
		index := uint64(1)
		steps := rapid.IntRange(1, 40).Draw(t, "steps")
		for range steps {
			before, snap := digest(t, s), s.Snapshot()
			txn, saved := s.WriteTxn(), m.clone()
			batch := rapid.SampledFrom([]int{1, 1, 2, 5}).Draw(t, "batch")
			failed := 0
			for range batch {
				index++
				c := drawCommand(t, m)
				reqBefore := encoded(t, c.req)
				err := c.run(txn, index)
				if !bytes.Equal(reqBefore, encoded(t, c.req)) {
					t.Fatalf("%s changed its request", c.name)
				}
				if ok := c.model(index); ok != (err == nil) {
					t.Fatalf("%s: error %v, the model says ok=%v", c.name, err, ok)
				}
				if err != nil {
					failed++
				}
			}
			if rapid.IntRange(0, 9).Draw(t, "abort") == 0 {
				txn.Abort()
				*m = *saved
				failed = batch
			} else {
				txn.Commit()
			}
			if failed == batch && digest(t, s) != before {
				t.Fatal("nothing succeeded, yet the digest has changed")
			}
			if digest(t, snap) != before {
				t.Fatal("a snapshot changed after it was taken")
			}
			m.checkAgainst(t, s)
			checkRestored(t, s)
		}
	})
}
