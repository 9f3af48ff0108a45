package state

import (
	"encoding/binary"
	"iter"
	"maps"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/rollcall-id/rollcall/structs"
)

// digestSum is a sum of hashes, in two lanes that each add up modulo 2^64. The order in which hashes were added
// doesn't show in it, and one can be taken out again.
type digestSum [2]uint64

func (s *digestSum) add(d digestSum) { s[0], s[1] = s[0]+d[0], s[1]+d[1] }
func (s *digestSum) sub(d digestSum) { s[0], s[1] = s[0]-d[0], s[1]-d[1] }

// laneSeed makes the second lane's hashes independent of the first's, whose seed is 0.
const laneSeed = 0x9e3779b97f4a7c15

// hasher writes the fields of one record after another into a buffer, each so that where it ends can be told, and
// hashes them. It is for one goroutine. Nil and empty maps, slices and raw values are the same to it: which of
// the two a field holds depends on who wrote it, and nobody reads a meaning into it.
type hasher struct {
	buf  []byte
	lane xxhash.Digest
}

// hash returns the hash of b.
func (h *hasher) hash(b []byte) digestSum {
	h.lane.ResetWithSeed(laneSeed)
	_, _ = h.lane.Write(b) // a hash can't fail
	return digestSum{xxhash.Sum64(b), h.lane.Sum64()}
}

// begin starts a record.
func (h *hasher) begin(t structs.RecordType) { h.buf = append(h.buf[:0], byte(t)) }

// end returns the hash of everything since begin.
func (h *hasher) end() digestSum { return h.hash(h.buf) }

func (h *hasher) uint(v uint64) { h.buf = binary.LittleEndian.AppendUint64(h.buf, v) }
func (h *hasher) int(v int64)   { h.uint(uint64(v)) }

func (h *hasher) uints(list ...uint64) {
	for _, v := range list {
		h.uint(v)
	}
}

func (h *hasher) sum(s digestSum) { h.uint(s[0]); h.uint(s[1]) }

func (h *hasher) bool(v bool) {
	var b byte
	if v {
		b = 1
	}
	h.buf = append(h.buf, b)
}

func (h *hasher) bools(list ...bool) {
	for _, v := range list {
		h.bool(v)
	}
}

func (h *hasher) string(s string) {
	h.uint(uint64(len(s)))
	h.buf = append(h.buf, s...)
}

func (h *hasher) strings(list ...string) {
	for _, s := range list {
		h.string(s)
	}
}

func (h *hasher) bytes(b []byte) {
	h.uint(uint64(len(b)))
	h.buf = append(h.buf, b...)
}

// raws takes values that are kept as they came. An encoded nil is read back as an empty one.
func (h *hasher) raws(list ...structs.Raw) {
	for _, r := range list {
		if len(r) == 1 && r[0] == 0xc0 {
			r = nil
		}
		h.bytes(r)
	}
}

// time takes the instant alone: an offset from UTC that is not a whole number of minutes does not survive its
// encoding.
func (h *hasher) time(t time.Time) {
	h.int(t.Unix())
	h.int(int64(t.Nanosecond()))
}

// stringMap adds up the hashes of the entries.
func (h *hasher) stringMap(m map[string]string) {
	h.entries(len(m), maps.All(m)) // map order: a sum does not show it
}

// packedMap returns what stringMap does.
func (h *hasher) packedMap(m structs.StringMap) { h.entries(m.Len(), m.All()) }

func (h *hasher) entries(n int, all iter.Seq2[string, string]) {
	var total digestSum
	start := len(h.buf)
	for k, v := range all {
		h.string(k)
		h.buf = append(h.buf, v...) // the hash knows the length of the whole
		total.add(h.hash(h.buf[start:]))
		h.buf = h.buf[:start]
	}
	h.uint(uint64(n))
	h.sum(total)
}

// nodePool, and each function like it, returns the hash of a record with every field of it. A field that is
// missing would be one in which servers may differ unnoticed; TestEveryFieldShowsInTheDigest finds it.
func (h *hasher) nodePool(p *structs.NodePool) digestSum {
	h.begin(structs.NodePoolRecord)
	h.strings(p.Name, p.Description)
	h.stringMap(p.Meta)
	h.bool(p.SchedulerConfiguration != nil)
	if c := p.SchedulerConfiguration; c != nil {
		h.string(c.SchedulerAlgorithm)
		m := c.MemoryOversubscriptionEnabled
		h.bools(m != nil, m != nil && *m)
	}
	h.int(int64(p.NodeIdentityTTL))
	h.bytes(p.Hash)
	h.uints(p.CreateIndex, p.ModifyIndex)
	return h.end()
}

func (h *hasher) rootKey(k *structs.RootKey) digestSum {
	h.begin(structs.RootKeyRecord)
	h.strings(k.KeyID, k.Algorithm, string(k.State), k.SigningAlgorithm)
	h.uints(uint64(k.CreateTime), k.CreateIndex, k.ModifyIndex, uint64(k.PublishTime), uint64(len(k.WrappedKeys)))
	for _, w := range k.WrappedKeys {
		h.bool(w != nil)
		if w == nil {
			continue
		}
		h.strings(w.Provider, w.ProviderID)
		h.bytes(w.KeyEncryptionKey)
		h.blob(w.WrappedDataEncryptionKey)
		h.blob(w.WrappedRSAKey)
		h.blob(w.WrappedECKey)
	}
	return h.end()
}

func (h *hasher) blob(b *structs.BlobInfo) {
	h.bool(b != nil)
	if b == nil {
		return
	}
	h.bytes(b.Ciphertext)
	h.bytes(b.Iv)
	h.bytes(b.Hmac)
	h.bytes(b.Plaintext)
	h.bool(b.Wrapped)
	h.string(b.ValuePath)
	h.raws(b.ClientData)
	h.bool(b.KeyInfo != nil)
	i := b.KeyInfo
	if i == nil {
		return
	}
	h.strings(i.KeyId, i.HmacKeyId)
	h.bytes(i.WrappedKey)
	h.bytes(i.Key)
	h.uints(i.Mechanism, i.HmacMechanism, i.Flags, uint64(i.KeyType), uint64(i.KeyEncoding),
		uint64(i.WrappedKeyEncoding), uint64(len(i.KeyPurposes)))
	for _, p := range i.KeyPurposes {
		h.int(int64(p))
	}
}

func (h *hasher) namespace(n *structs.Namespace) digestSum {
	h.begin(structs.NamespaceRecord)
	h.strings(n.Name, n.Description, n.Quota)
	h.raws(n.Capabilities, n.NodePoolConfiguration, n.VaultConfiguration, n.ConsulConfiguration)
	h.stringMap(n.Meta)
	h.stringMap(n.RequiredExtraClaims)
	h.stringMap(n.OptionalExtraClaims)
	h.bytes(n.Hash)
	h.uints(n.CreateIndex, n.ModifyIndex)
	return h.end()
}

func (h *hasher) clusterMetadata(m *structs.ClusterMetadata) digestSum {
	h.begin(structs.ClusterMetadataRecord)
	h.string(m.ClusterID)
	h.int(m.CreateTime)
	return h.end()
}

func (h *hasher) autopilotConfig(c *structs.AutopilotConfig) digestSum {
	h.begin(structs.AutopilotConfigRecord)
	h.bools(c.CleanupDeadServers, c.EnableRedundancyZones, c.DisableUpgradeMigration, c.EnableCustomUpgrades)
	h.uints(uint64(c.ServerStabilizationTime), uint64(c.LastContactThreshold), c.MaxTrailingLogs, c.MinQuorum,
		c.CreateIndex, c.ModifyIndex)
	return h.end()
}

func (h *hasher) schedulerConfig(c *structs.SchedulerConfiguration) digestSum {
	h.begin(structs.SchedulerConfigRecord)
	h.string(c.SchedulerAlgorithm)
	p := c.PreemptionConfig
	h.bools(p.SystemSchedulerEnabled, p.SysBatchSchedulerEnabled, p.BatchSchedulerEnabled, p.ServiceSchedulerEnabled,
		c.MemoryOversubscriptionEnabled, c.RejectJobRegistration, c.PauseEvalBroker)
	h.uints(c.NodeLimitForFeasibilityChecks, c.CreateIndex, c.ModifyIndex)
	return h.end()
}

func (h *hasher) keyUse(u *structs.KeyUse) digestSum {
	h.begin(structs.KeyUseRecord)
	h.strings(u.KeyID, u.User)
	return h.end()
}

func (h *hasher) featureGate(g *structs.FeatureGate) digestSum {
	h.begin(structs.FeatureGateRecord)
	h.strings(g.Name, g.MinBuild, g.MinVersion)
	return h.end()
}

func (h *hasher) indexEntry(key string, value uint64) digestSum {
	h.begin(structs.IndexRecord)
	h.uint(value)
	h.string(key)
	return h.end()
}

// opaqueMark, which no record type has, tells records that are not read from those that are.
const opaqueMark structs.RecordType = 128

// opaque takes a record's position within its type, too: two may be alike, and their order is kept.
func (h *hasher) opaque(r structs.OpaqueRecord, position uint64) digestSum {
	h.begin(r.Type | opaqueMark)
	h.uint(position)
	h.bytes(r.Data)
	return h.end()
}
