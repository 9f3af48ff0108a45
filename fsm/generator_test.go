package fsm

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/structs"
)

// generator makes a log of commands of all types that have an effect, and of many that have none. The same seed gives
// the same commands; about a third of them fail, as commands do that lost a race.
type generator struct {
	tb    testing.TB
	r     *rand.Rand
	index uint64
	clock int64 // Unix seconds
}

func newGenerator(tb testing.TB, seed uint64) *generator {
	return &generator{tb: tb, r: rand.New(rand.NewPCG(seed, 47)), index: 1, clock: 1_700_000_000}
}

func (g *generator) log(n int) []*raft.Log {
	entries := make([]*raft.Log, 0, n)
	for len(entries) < n {
		g.index += 1 + uint64(g.r.IntN(2)) // Raft's own entries take indexes, too
		g.clock += int64(g.r.IntN(30))
		t, msg := g.command()
		e := entry(g.tb, g.index, t, msg)
		if g.r.IntN(20) == 0 {
			e.Data[0] |= byte(structs.IgnoreUnknownFlag)
		}
		entries = append(entries, e)
		if g.r.IntN(50) == 0 { // a type of the future that says that it may be ignored
			g.index++
			entries = append(entries, rawEntry(g.index, byte(structs.IgnoreUnknownFlag)|byte(101+g.r.IntN(20)), 0xc0))
		}
	}
	return entries[:n]
}

func (g *generator) nodeID() string          { return uuid(g.r.IntN(60)) }
func (g *generator) keyID() string           { return uuid(900 + g.r.IntN(8)) }
func (g *generator) yes() bool               { return g.r.IntN(2) == 0 }
func (g *generator) rarely() bool            { return g.r.IntN(8) == 0 }
func (g *generator) pick(s ...string) string { return s[g.r.IntN(len(s))] }

func (g *generator) poolName() string {
	return g.pick("default", "edge", "gpu", "lab", "p-"+fmt.Sprint(g.r.IntN(6)), "")
}

func (g *generator) status() string {
	return g.pick(structs.NodeStatusInit, structs.NodeStatusReady, structs.NodeStatusReady, structs.NodeStatusDown, structs.NodeStatusDisconnected)
}

// time is one in any zone, also in those that can't be told from others by their offset alone.
func (g *generator) time() time.Time {
	t := time.Unix(g.clock, g.r.Int64N(1e9))
	switch g.r.IntN(6) {
	case 0:
		return time.Time{}
	case 1:
		return t.In(time.FixedZone("", 0))
	case 2:
		return t.In(time.FixedZone("nepal", 5*3600+45*60))
	case 3:
		return t.In(time.FixedZone("", -5*3600))
	case 4:
		return t.In(time.FixedZone("amsterdam, long ago", 19*60+32))
	}
	return t.UTC()
}

func (g *generator) event() *structs.NodeEvent {
	if g.rarely() {
		return nil
	}
	e := &structs.NodeEvent{Message: fmt.Sprint("event ", g.r.IntN(1000)), Subsystem: structs.NodeEventSubsystemCluster, Timestamp: g.time()}
	if g.yes() {
		e.Details = g.strings(3)
	}
	return e
}

func (g *generator) strings(n int) map[string]string {
	if g.rarely() {
		return nil
	}
	m := map[string]string{}
	for range g.r.IntN(n + 1) {
		m[fmt.Sprint("key.", g.r.IntN(100))] = fmt.Sprint("value ", g.r.IntN(5))
	}
	return m
}

func (g *generator) drain() *structs.DrainStrategy {
	if g.yes() {
		return nil
	}
	return &structs.DrainStrategy{
		DrainSpec: structs.DrainSpec{Deadline: time.Duration(g.r.IntN(1e9)), IgnoreSystemJobs: g.yes()}, StartedAt: g.time(), ForceDeadline: g.time(),
	}
}

func (g *generator) node() *structs.Node {
	n := g.r.IntN(60)
	node := &structs.Node{
		ID: uuid(n), SecretID: uuid(1<<24 + n), Datacenter: g.pick("dc1", "dc2"), Name: fmt.Sprint("host-", n), NodePool: g.poolName(), NodeClass: g.pick("", "big"),
		Attributes: structs.NewStringMap(g.strings(40)), Meta: structs.NewStringMap(g.strings(3)), Links: structs.NewStringMap(g.strings(1)), Status: g.status(), StatusUpdatedAt: g.clock,
		SchedulingEligibility: g.pick("", structs.NodeEligible, structs.NodeIneligible), DrainStrategy: nil,
		NodeResources: structs.Raw("\x82\xa6Memory\x81\xa8MemoryMB\xcd\x10\x00\xa4Disk\xc0"),
	}
	if g.rarely() {
		node.DrainStrategy = g.drain()
	}
	if g.rarely() { // old records have none
		node.SecretID = ""
	}
	if g.yes() {
		node.IdentitySigningKeyID, node.IdentityTTL = g.keyID(), time.Duration(g.r.IntN(5))*time.Hour
	}
	if g.yes() {
		node.Drivers = structs.Raw("\x81\xa4exec\x81\xaaUpdateTime\xaf\x01\x00\x00\x00\x0e\xdc\xe5\xe8\x00\x00\x00\x00\x00\x00\x00")
	}
	return node
}

func (g *generator) pool() *structs.NodePool {
	p := &structs.NodePool{Name: g.pick("edge", "gpu", "lab", "all", "p-"+fmt.Sprint(g.r.IntN(6))), Description: fmt.Sprint("pool ", g.r.IntN(9)), Meta: g.strings(4)}
	switch g.r.IntN(4) {
	case 0:
		p.NodeIdentityTTL = time.Duration(1+g.r.IntN(48)) * time.Hour
	case 1:
		yes := g.yes()
		p.SchedulerConfiguration = &structs.NodePoolSchedulerConfiguration{SchedulerAlgorithm: "spread", MemoryOversubscriptionEnabled: &yes}
	}
	return p
}

func (g *generator) rootKey() *structs.RootKey {
	k := &structs.RootKey{
		KeyID: g.keyID(), Algorithm: structs.EncryptionAlgorithmAES256GCM, CreateTime: g.clock * 1e9,
		State: structs.KeyState(g.pick("active", "active", "inactive", "prepublished", "rekeying", "nonsense")),
	}
	if k.IsPrepublished() {
		k.PublishTime = (g.clock + 3600) * 1e9
	}
	if g.yes() {
		k.SigningAlgorithm = structs.AlgES256
		k.WrappedKeys = []*structs.WrappedKey{{Provider: "aead", WrappedECKey: &structs.BlobInfo{Ciphertext: []byte(k.KeyID), KeyInfo: &structs.KeyInfo{KeyId: k.KeyID}}}}
	}
	return k
}

// command returns one command. The tokens are there as other writers leave them in their logs.
func (g *generator) command() (structs.MessageType, any) {
	w := structs.WriteRequest{Region: "global", AuthToken: g.pick("", uuid(1<<25))}
	switch g.r.IntN(28) {
	case 0, 1, 2, 3, 4:
		req := &structs.NodeRegisterRequest{Node: g.node(), NodeEvent: g.event(), CreateNodePool: g.yes(), WriteRequest: w}
		if g.r.IntN(40) == 0 {
			req.Node = nil
		}
		return structs.NodeRegisterMsg, req
	case 5, 6, 7, 8:
		req := &structs.NodeUpdateStatusRequest{NodeID: g.nodeID(), Status: g.status(), NodeEvent: g.event(), UpdatedAt: g.clock, WriteRequest: w}
		if g.yes() {
			req.IdentitySigningKeyID, req.IdentityTTL = g.keyID(), time.Duration(g.r.IntN(5))*time.Hour
		}
		return structs.NodeUpdateStatusMsg, req
	case 9:
		return structs.NodeDeregisterMsg, &structs.NodeDeregisterRequest{NodeID: g.nodeID(), WriteRequest: w}
	case 10:
		ids := []string{g.nodeID()}
		if g.yes() {
			ids = append(ids, g.nodeID())
		}
		return structs.NodeBatchDeregisterMsg, &structs.NodeBatchDeregisterRequest{NodeIDs: ids, WriteRequest: w}
	case 11:
		return structs.NodeUpdateDrainMsg, &structs.NodeUpdateDrainRequest{
			NodeID: g.nodeID(), DrainStrategy: g.drain(), MarkEligible: g.yes(), NodeEvent: g.event(), UpdatedAt: g.clock, Meta: g.strings(2),
			UpdatedBy: g.pick("", "operator"), WriteRequest: w,
		}
	case 12:
		req := &structs.BatchNodeUpdateDrainRequest{Updates: map[string]*structs.DrainUpdate{}, NodeEvents: map[string]*structs.NodeEvent{}, UpdatedAt: g.clock, WriteRequest: w}
		for range 1 + g.r.IntN(3) {
			id := g.nodeID()
			req.Updates[id] = &structs.DrainUpdate{DrainStrategy: g.drain(), MarkEligible: g.yes()}
			req.NodeEvents[id] = g.event()
		}
		return structs.BatchNodeUpdateDrainMsg, req
	case 13:
		return structs.NodeUpdateEligibilityMsg, &structs.NodeUpdateEligibilityRequest{
			NodeID: g.nodeID(), Eligibility: g.pick(structs.NodeEligible, structs.NodeIneligible, "maybe"), NodeEvent: g.event(), UpdatedAt: g.clock, WriteRequest: w,
		}
	case 14:
		req := &structs.EmitNodeEventsRequest{NodeEvents: map[string][]*structs.NodeEvent{}, WriteRequest: w}
		for range 1 + g.r.IntN(3) {
			req.NodeEvents[g.nodeID()] = []*structs.NodeEvent{g.event(), g.event()}
		}
		return structs.UpsertNodeEventsMsg, req
	case 15, 16:
		pools := []*structs.NodePool{g.pool()}
		if g.yes() {
			pools = append(pools, g.pool())
		}
		return structs.NodePoolUpsertMsg, &structs.NodePoolUpsertRequest{NodePools: pools, WriteRequest: w}
	case 17:
		return structs.NodePoolDeleteMsg, &structs.NodePoolDeleteRequest{Names: []string{g.pool().Name}, WriteRequest: w}
	case 18, 19, 20, 21:
		return g.aclCommand(w)
	default:
		return g.clusterCommand(w)
	}
}

func (g *generator) clusterCommand(w structs.WriteRequest) (structs.MessageType, any) {
	type m = map[string]any
	switch g.r.IntN(11) {
	case 0, 1:
		req := &structs.RootKeyUpsertRequest{WrappedRootKeys: g.rootKey(), Rekey: g.rarely(), WriteRequest: w}
		if g.rarely() {
			req.IfIndex = uint64(g.r.IntN(5000))
		}
		return structs.RootKeyUpsertMsg, req
	case 2:
		return structs.RootKeyMetaUpsertMsg, &structs.RootKeyMetaUpsertRequest{RootKeyMeta: g.rootKey().Meta(), Rekey: g.rarely(), WriteRequest: w}
	case 3:
		req := &structs.KeyringDeleteRequest{KeyID: g.keyID(), Force: g.yes(), WriteRequest: w}
		if g.yes() {
			req.At = g.clock
		}
		return structs.RootKeyDeleteMsg, req
	case 4:
		id := uuid(7)
		if g.rarely() {
			id = uuid(8)
		}
		return structs.ClusterMetadataMsg, &structs.ClusterMetadata{ClusterID: id, CreateTime: g.clock * 1e9}
	case 5:
		return structs.AutopilotMsg, &structs.AutopilotSetConfigRequest{
			CAS: g.yes(), Config: structs.AutopilotConfig{MaxTrailingLogs: g.r.Uint64N(500), ModifyIndex: g.r.Uint64N(g.index)}, WriteRequest: w,
		}
	case 6:
		return structs.SchedulerConfigMsg, &structs.SchedulerSetConfigRequest{
			CAS: g.yes(), Config: structs.SchedulerConfiguration{SchedulerAlgorithm: g.pick("binpack", "spread")}, WriteRequest: w,
		}
	case 7:
		return structs.NamespaceUpsertMsg, &structs.NamespaceUpsertRequest{
			Namespaces: []*structs.Namespace{{Name: g.pick("default", "a", "b", "c", ""), Meta: g.strings(4)}}, WriteRequest: w,
		}
	case 8:
		return structs.NamespaceDeleteMsg, &structs.NamespaceDeleteRequest{Namespaces: []string{g.pick("default", "a", "b", "c", "d")}, WriteRequest: w}
	case 9:
		req := &structs.FeatureGateRequest{WriteRequest: w}
		for range g.r.IntN(4) {
			req.Gates = append(req.Gates, &structs.FeatureGate{Name: g.pick("node_identity", "state_digest", "a", "b"), MinBuild: g.pick("", "1.11.0"), MinVersion: g.pick("", "0.1.0")})
		}
		return structs.FeatureGateMsg, req
	}
	switch g.r.IntN(5) {
	case 0:
		return structs.VarApplyStateMsg, m{"Op": "set", "Var": m{"KeyID": g.keyID(), "Path": "a/b"}}
	case 1:
		return structs.ApplyPlanResultsMsg, m{"Alloc": []m{{"ID": uuid(1), "SigningKeyID": g.keyID(), "ClientStatus": g.pick("pending", "failed")}}}
	case 2:
		return structs.AllocUpdateMsg, m{"Alloc": []m{{"ID": uuid(2), "SigningKeyID": g.keyID()}}}
	}
	skipped := []structs.MessageType{4, 5, 6, 7, 9, 10, 11, 12, 14, 26, 33, 41, 55, 58, 61, 75, 77}
	return skipped[g.r.IntN(len(skipped))], m{"Anything": g.strings(2)}
}
