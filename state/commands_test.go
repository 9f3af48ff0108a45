package state

import (
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-id/rollcall/structs"
)

// Few enough of each that commands meet; numbers above are never created.
const (
	modelNodes = 6
	modelKeys  = 4
)

// command is one command for the state and for its model.
type command struct {
	name  string
	req   any
	run   func(*Txn, uint64) error
	model func(uint64) bool
}

func drawEvent(t *rapid.T) *structs.NodeEvent {
	if rapid.Bool().Draw(t, "noEvent") {
		return nil
	}
	zone := time.FixedZone("", 3600*rapid.IntRange(-12, 12).Draw(t, "zone"))
	return &structs.NodeEvent{
		Message: rapid.StringN(0, 3, -1).Draw(t, "message"), Subsystem: "Cluster",
		Timestamp: time.Unix(rapid.Int64Range(0, 9999).Draw(t, "eventTime"), 5).In(zone), Details: map[string]string{"a": "b"},
	}
}

func drawDrain(t *rapid.T) *structs.DrainStrategy {
	if rapid.Bool().Draw(t, "noDrain") {
		return nil
	}
	return &structs.DrainStrategy{
		DrainSpec: structs.DrainSpec{Deadline: time.Hour}, StartedAt: time.Unix(rapid.Int64Range(0, 99).Draw(t, "drainStart"), 7).UTC(),
	}
}

func drawTTL(t *rapid.T) time.Duration {
	return time.Second * time.Duration(rapid.SampledFrom([]int{0, 60, 600, 3600}).Draw(t, "ttl"))
}

func drawNodeID(t *rapid.T) string { return nodeID(rapid.IntRange(0, modelNodes).Draw(t, "node")) }
func drawKeyID(t *rapid.T) string  { return keyID(rapid.IntRange(0, modelKeys).Draw(t, "key")) }
func drawTime(t *rapid.T) int64    { return rapid.Int64Range(0, 9999).Draw(t, "at") }

func drawSigningKey(t *rapid.T) string {
	if rapid.Bool().Draw(t, "unsigned") {
		return ""
	}
	return drawKeyID(t)
}

var (
	statuses = []string{"initializing", "ready", "ready", "down", "disconnected"}
	poolSet  = []string{"edge", "gpu", "default", "all", "", "nopool"}
)

// drawNode is a node of a request; the highest number is never registered.
func drawNode(t *rapid.T) *structs.Node {
	n := newNode(rapid.IntRange(0, modelNodes-1).Draw(t, "node"))
	n.SecretID = secret(rapid.IntRange(0, modelNodes-1).Draw(t, "secret"))
	n.Status = rapid.SampledFrom(statuses).Draw(t, "status")
	n.StatusUpdatedAt = drawTime(t)
	n.NodePool = rapid.SampledFrom([]string{"edge", "gpu", "default", ""}).Draw(t, "pool")
	n.IdentitySigningKeyID = drawSigningKey(t)
	if n.IdentitySigningKeyID != "" {
		n.IdentityTTL = drawTTL(t)
	}
	n.SchedulingEligibility = rapid.SampledFrom([]string{"", "eligible", "ineligible"}).Draw(t, "eligibility")
	n.DrainStrategy = drawDrain(t)
	n.LastAllocUpdateIndex = rapid.Uint64Range(0, 9).Draw(t, "lastAlloc")
	n.LastMissedHeartbeatIndex = rapid.Uint64Range(0, 9).Draw(t, "lastMissed")
	n.NodeResources = structs.Raw{0x80}
	return n
}

func drawNodeCommand(t *rapid.T, m *model) command {
	switch rapid.SampledFrom([]string{"register", "register", "status", "status", "delete", "drain", "drains", "eligibility", "events"}).Draw(t, "nodeCommand") {
	case "register":
		r := &structs.NodeRegisterRequest{Node: drawNode(t), NodeEvent: drawEvent(t), CreateNodePool: rapid.Bool().Draw(t, "createPool")}
		return command{"register", r, func(x *Txn, i uint64) error { return x.UpsertNode(i, r) },
			func(i uint64) bool { return m.register(i, r) }}
	case "status":
		r := &structs.NodeUpdateStatusRequest{
			NodeID: drawNodeID(t), Status: rapid.SampledFrom(append(statuses, "gone")).Draw(t, "status"), UpdatedAt: drawTime(t),
			IdentitySigningKeyID: drawSigningKey(t), IdentityTTL: drawTTL(t), NodeEvent: drawEvent(t),
		}
		return command{"status", r, func(x *Txn, i uint64) error { return x.UpdateNodeStatus(i, r) },
			func(i uint64) bool { return m.status(i, r) }}
	case "delete":
		r := rapid.SliceOfN(rapid.Custom(drawNodeID), 0, 2).Draw(t, "nodes")
		return command{"delete", r, func(x *Txn, i uint64) error { return x.DeleteNodes(i, r) },
			func(i uint64) bool { return m.deleteNodes(i, r) }}
	case "drain":
		r := &structs.NodeUpdateDrainRequest{
			NodeID: drawNodeID(t), DrainStrategy: drawDrain(t), MarkEligible: rapid.Bool().Draw(t, "markEligible"), NodeEvent: drawEvent(t),
			UpdatedAt: drawTime(t), UpdatedBy: rapid.SampledFrom([]string{"", "me"}).Draw(t, "by"),
		}
		if rapid.Bool().Draw(t, "withMeta") {
			r.Meta = map[string]string{"why": "maintenance"}
		}
		return command{"drain", r, func(x *Txn, i uint64) error { return x.UpdateNodeDrain(i, r) }, func(i uint64) bool {
			if m.nodes[r.NodeID] == nil {
				return false
			}
			m.drain(i, r.NodeID, r.DrainStrategy, r.MarkEligible, r.NodeEvent, r.UpdatedAt, r.Meta, r.UpdatedBy, "canceled")
			return true
		}}
	case "drains":
		r := &structs.BatchNodeUpdateDrainRequest{
			Updates: map[string]*structs.DrainUpdate{}, NodeEvents: map[string]*structs.NodeEvent{}, UpdatedAt: drawTime(t),
		}
		for _, id := range rapid.SliceOfN(rapid.Custom(drawNodeID), 1, 3).Draw(t, "nodes") {
			r.Updates[id] = &structs.DrainUpdate{DrainStrategy: drawDrain(t), MarkEligible: rapid.Bool().Draw(t, "markEligible")}
			r.NodeEvents[id] = drawEvent(t)
		}
		return command{"drains", r, func(x *Txn, i uint64) error { return x.BatchUpdateNodeDrain(i, r) }, func(i uint64) bool {
			for id := range r.Updates {
				if m.nodes[id] == nil {
					return false
				}
			}
			for id, u := range r.Updates {
				m.drain(i, id, u.DrainStrategy, u.MarkEligible, r.NodeEvents[id], r.UpdatedAt, nil, "", "complete")
			}
			return true
		}}
	case "eligibility":
		r := &structs.NodeUpdateEligibilityRequest{
			NodeID: drawNodeID(t), Eligibility: rapid.SampledFrom([]string{"eligible", "ineligible", "perhaps"}).Draw(t, "eligibility"),
			NodeEvent: drawEvent(t), UpdatedAt: drawTime(t),
		}
		return command{"eligibility", r, func(x *Txn, i uint64) error { return x.UpdateNodeEligibility(i, r) },
			func(i uint64) bool { return m.eligibility(i, r) }}
	}
	r := map[string][]*structs.NodeEvent{}
	for _, id := range rapid.SliceOfN(rapid.Custom(drawNodeID), 1, 2).Draw(t, "nodes") {
		for range rapid.IntRange(1, 11).Draw(t, "events") {
			if e := drawEvent(t); e != nil {
				r[id] = append(r[id], e)
			}
		}
	}
	return command{"events", r, func(x *Txn, i uint64) error { return x.UpsertNodeEvents(i, r) }, func(i uint64) bool {
		for id := range r {
			if m.nodes[id] == nil {
				return false
			}
		}
		for id, events := range r {
			for _, e := range events {
				m.event(m.nodes[id], e, i)
			}
		}
		if len(r) > 0 {
			m.indexes["nodes"] = i
		}
		return true
	}}
}

func drawPoolOrKeyCommand(t *rapid.T, m *model) command {
	switch rapid.SampledFrom([]string{"pools", "delete pools", "key", "key", "delete key", "use"}).Draw(t, "poolOrKeyCommand") {
	case "pools":
		var r []*structs.NodePool
		for range rapid.IntRange(0, 2).Draw(t, "pools") {
			r = append(r, &structs.NodePool{
				Name:            rapid.SampledFrom([]string{"edge", "edge", "gpu", "gpu", "all", "default"}).Draw(t, "pool"),
				NodeIdentityTTL: rapid.SampledFrom([]time.Duration{0, 0, time.Hour, -1}).Draw(t, "poolTTL"),
				Meta:            map[string]string{"a": "b"}, Hash: []byte{1},
			})
		}
		return command{"pools", r, func(x *Txn, i uint64) error { return x.UpsertNodePools(i, r) },
			func(i uint64) bool { return m.putPools(i, r) }}
	case "delete pools":
		r := rapid.SliceOfN(rapid.SampledFrom(poolSet), 0, 2).Draw(t, "pools")
		return command{"delete pools", r, func(x *Txn, i uint64) error { return x.DeleteNodePools(i, r) },
			func(i uint64) bool { return m.deletePools(i, r) }}
	case "key":
		k := newKey(rapid.IntRange(0, modelKeys-1).Draw(t, "key"), rapid.SampledFrom([]structs.KeyState{
			"active", "active", "inactive", "rekeying", "prepublished", "deprecated",
		}).Draw(t, "state"))
		k.CreateTime = drawTime(t)
		if rapid.Bool().Draw(t, "metaOnly") {
			k.WrappedKeys, k.SigningAlgorithm = nil, ""
		}
		rekey := rapid.Bool().Draw(t, "rekey")
		return command{"key", k, func(x *Txn, i uint64) error { return x.UpsertRootKey(i, k, rekey) },
			func(i uint64) bool { return m.putKey(i, k, rekey) }}
	case "delete key":
		r := &structs.KeyringDeleteRequest{
			KeyID: drawKeyID(t), Force: rapid.Bool().Draw(t, "force"), At: rapid.SampledFrom([]int64{0, 1, 5000, 20000}).Draw(t, "deleteAt"),
		}
		return command{"delete key", r, func(x *Txn, i uint64) error { return x.DeleteRootKey(i, r) },
			func(i uint64) bool { return m.deleteKey(i, r) }}
	}
	r := structs.KeyUse{KeyID: drawKeyID(t), User: rapid.SampledFrom([]string{"variable", "allocation", ""}).Draw(t, "user")}
	return command{"use", r, func(x *Txn, i uint64) error { return x.NoteKeyUse(i, r) }, func(uint64) bool {
		if r.User != "" {
			m.uses[r] = true
		}
		return r.User != ""
	}}
}

func drawClusterCommand(t *rapid.T, m *model) command {
	cas := rapid.Bool().Draw(t, "cas")
	stored := rapid.Bool().Draw(t, "storedIndex")
	switch rapid.SampledFrom([]string{"metadata", "autopilot", "scheduler", "namespace", "delete namespace", "gates"}).Draw(t, "clusterCommand") {
	case "gates":
		return drawGates(t, m)
	case "metadata":
		r := &structs.ClusterMetadata{ClusterID: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "cluster"), CreateTime: drawTime(t)}
		return command{"metadata", r, func(x *Txn, i uint64) error { return x.SetClusterMetadata(i, r) }, func(uint64) bool {
			if r.ClusterID == "" || m.meta != nil && m.meta.ClusterID != r.ClusterID {
				return false
			}
			if m.meta == nil {
				c := *r
				m.meta = &c
			}
			return true
		}}
	case "autopilot":
		r := &structs.AutopilotConfig{MaxTrailingLogs: rapid.Uint64Range(0, 9).Draw(t, "logs")}
		if m.autopilot != nil && stored {
			r.ModifyIndex = m.autopilot.ModifyIndex
		}
		var swapped bool
		return command{"autopilot", r, func(x *Txn, i uint64) (err error) {
			if cas {
				swapped, err = x.CASAutopilotConfig(i, r)
				return err
			}
			swapped = true
			return x.SetAutopilotConfig(i, r)
		}, func(i uint64) bool {
			match := m.autopilot != nil && m.autopilot.ModifyIndex == r.ModifyIndex
			if cas && !match {
				return !swapped
			}
			c := *r
			c.CreateIndex, c.ModifyIndex = i, i
			if m.autopilot != nil {
				c.CreateIndex = m.autopilot.CreateIndex
			}
			m.autopilot = &c
			return swapped
		}}
	case "scheduler":
		r := &structs.SchedulerConfiguration{SchedulerAlgorithm: "spread"}
		if m.scheduler != nil && stored {
			r.ModifyIndex = m.scheduler.ModifyIndex
		}
		var swapped bool
		return command{"scheduler", r, func(x *Txn, i uint64) (err error) {
			if cas {
				swapped, err = x.CASSchedulerConfig(i, r)
				return err
			}
			swapped = true
			return x.SetSchedulerConfig(i, r)
		}, func(i uint64) bool {
			match := m.scheduler != nil && m.scheduler.ModifyIndex == r.ModifyIndex
			if cas && !match {
				return !swapped
			}
			c := *r
			c.CreateIndex, c.ModifyIndex = i, i
			if m.scheduler != nil {
				c.CreateIndex = m.scheduler.CreateIndex
			}
			m.scheduler, m.indexes["scheduler_config"] = &c, i
			return swapped
		}}
	case "namespace":
		r := []*structs.Namespace{{Name: rapid.SampledFrom([]string{"default", "prod", ""}).Draw(t, "namespace"), Meta: map[string]string{"a": "b"}}}
		return command{"namespace", r, func(x *Txn, i uint64) error { return x.UpsertNamespaces(i, r) }, func(i uint64) bool {
			if r[0].Name == "" {
				return false
			}
			c := r[0].Copy()
			c.CreateIndex, c.ModifyIndex = i, i
			if old := m.namespaces[c.Name]; old != nil {
				c.CreateIndex = old.CreateIndex
			}
			m.namespaces[c.Name], m.indexes["namespaces"] = c, i
			return true
		}}
	}
	r := []string{rapid.SampledFrom([]string{"default", "prod", "nosuch"}).Draw(t, "namespace")}
	return command{"delete namespace", r, func(x *Txn, i uint64) error { return x.DeleteNamespaces(i, r) }, func(i uint64) bool {
		if r[0] == "default" || m.namespaces[r[0]] == nil {
			return false
		}
		delete(m.namespaces, r[0])
		m.indexes["namespaces"] = i
		return true
	}}
}

func drawGates(t *rapid.T, m *model) command {
	r := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *structs.FeatureGate {
		return &structs.FeatureGate{
			Name: rapid.SampledFrom([]string{"a", "b", "b", ""}).Draw(t, "gate"), MinBuild: rapid.SampledFrom([]string{"", "1.11.0"}).Draw(t, "build"),
			MinVersion: rapid.SampledFrom([]string{"", "0.1.0"}).Draw(t, "version"),
		}
	}), 0, 3).Draw(t, "gates")
	return command{"gates", r, func(x *Txn, _ uint64) error { return x.OpenFeatures(r) }, func(uint64) bool {
		for _, g := range r {
			if g.Name == "" {
				return false
			}
		}
		for _, g := range r {
			m.gates[g.Name] = *g
		}
		return len(r) > 0
	}}
}

func drawCommand(t *rapid.T, m *model) command {
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 0, 1, 2:
		return drawPoolOrKeyCommand(t, m)
	case 3:
		return drawClusterCommand(t, m)
	case 4, 5:
		return drawACLCommand(t, m)
	}
	return drawNodeCommand(t, m)
}
