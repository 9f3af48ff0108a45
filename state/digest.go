package state

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/hashicorp/go-memdb"
	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/rollcall-id/rollcall/structs"
)

// digestSum is a sum of record digests modulo 2^256. The order of records doesn't show in it, and a record can be
// taken out again, so that a sum can follow the changes instead of being computed over everything.
type digestSum [4]uint64

func (s *digestSum) add(d [sha256.Size]byte) {
	var carry uint64
	for i := range s {
		s[i], carry = bits.Add64(s[i], binary.LittleEndian.Uint64(d[8*i:]), carry)
	}
}

func (s digestSum) bytes() (b [sha256.Size]byte) {
	for i, w := range s {
		binary.LittleEndian.PutUint64(b[8*i:], w)
	}
	return b
}

// recordDigest is the digest of one record: of its type and its canonical encoding, which has its key in it.
func recordDigest(typ structs.RecordType, encoded ...[]byte) (d [sha256.Size]byte) {
	h := sha256.New()
	_, _ = h.Write([]byte{byte(typ)}) // a hash can't fail
	for _, e := range encoded {
		_, _ = h.Write(e)
	}
	h.Sum(d[:0])
	return d
}

// digester sums up tables. After an error it does nothing more.
type digester struct {
	txn *memdb.Txn
	enc *codec.Encoder
	buf []byte
	sum digestSum
	err error
}

func digestTable[T any](d *digester, typ structs.RecordType, table string) {
	if d.err != nil {
		return
	}
	rows, err := list[T](d.txn, nil, table, "")
	if err != nil {
		d.err = err
		return
	}
	for row := range rows {
		d.buf = d.buf[:0]
		d.enc.ResetBytes(&d.buf)
		if err := d.enc.Encode(row); err != nil {
			d.err = fmt.Errorf("digest a %s record: %w", typ, err)
			return
		}
		d.sum.add(recordDigest(typ, d.buf))
	}
}

// Digest returns a fingerprint of everything in the state: records, index entries and what is only kept. Equal
// states have equal digests, whichever way they came about. It reads everything, which takes about a second for
// 100,000 nodes.
func (v view) Digest() ([sha256.Size]byte, error) {
	d := &digester{txn: v.read()}
	d.enc = codec.NewEncoderBytes(&d.buf, structs.CanonicalHandle)
	digestTable[structs.Node](d, structs.NodeRecord, TableNodes)
	digestTable[structs.NodePool](d, structs.NodePoolRecord, TableNodePools)
	digestTable[structs.RootKey](d, structs.RootKeyRecord, TableRootKeys)
	digestTable[structs.Namespace](d, structs.NamespaceRecord, TableNamespaces)
	digestTable[structs.ClusterMetadata](d, structs.ClusterMetadataRecord, tableClusterMetadata)
	digestTable[structs.AutopilotConfig](d, structs.AutopilotConfigRecord, tableAutopilotConfig)
	digestTable[structs.SchedulerConfiguration](d, structs.SchedulerConfigRecord, TableSchedulerConfig)
	digestTable[structs.KeyUse](d, structs.KeyUseRecord, tableKeyUses)
	digestTable[structs.IndexEntry](d, structs.IndexRecord, tableIndex)
	if d.err != nil {
		return [sha256.Size]byte{}, d.err
	}
	opaque, err := get[opaqueSet](d.txn, nil, tableOpaque, singletonKey)
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	if opaque != nil {
		d.sum.add(opaque.sum.bytes())
	}
	return d.sum.bytes(), nil
}
