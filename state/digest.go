package state

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
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

// recordDigest is the digest of one record: of its type, its key and its canonical encoding.
func recordDigest(typ uint8, key string, encoded []byte) (d [sha256.Size]byte) {
	h := sha256.New()
	head := binary.BigEndian.AppendUint64([]byte{typ}, uint64(len(key)))
	_, _ = h.Write(append(head, key...)) // a hash can't fail
	_, _ = h.Write(encoded)
	h.Sum(d[:0])
	return d
}

// digester sums up records.
type digester struct {
	txn *memdb.Txn
	sum digestSum
	buf []byte
	enc *codec.Encoder
}

// digestTable adds all rows of a table.
func digestTable[T any](d *digester, typ structs.RecordType, table string, key func(*T) string) error {
	rows, err := list[T](d.txn, nil, table, "")
	if err != nil {
		return err
	}
	return digestRows(d, typ, rows, key)
}

func digestRows[T any](d *digester, typ structs.RecordType, rows iter.Seq[*T], key func(*T) string) error {
	for row := range rows {
		d.buf = d.buf[:0]
		d.enc.ResetBytes(&d.buf)
		if err := d.enc.Encode(row); err != nil {
			return fmt.Errorf("digest %s %q: %w", typ, key(row), err)
		}
		d.sum.add(recordDigest(uint8(typ), key(row), d.buf))
	}
	return nil
}

// Digest returns a fingerprint of everything in the state: records, index entries and what is only kept. Equal
// states have equal digests, whichever way they came about. It reads everything, which takes about a second for
// 100,000 nodes.
func (v view) Digest() ([sha256.Size]byte, error) {
	d := &digester{txn: v.read()}
	d.enc = codec.NewEncoderBytes(&d.buf, structs.CanonicalHandle)
	for _, add := range []func() error{
		func() error {
			return digestTable(d, structs.NodeRecord, TableNodes, func(n *structs.Node) string { return n.ID })
		},
		func() error {
			return digestTable(d, structs.NodePoolRecord, TableNodePools, func(p *structs.NodePool) string { return p.Name })
		},
		func() error {
			return digestTable(d, structs.RootKeyRecord, TableRootKeys, func(k *structs.RootKey) string { return k.KeyID })
		},
		func() error {
			return digestTable(d, structs.NamespaceRecord, TableNamespaces, func(n *structs.Namespace) string { return n.Name })
		},
		func() error {
			return digestTable(d, structs.IndexRecord, tableIndex, func(e *structs.IndexEntry) string { return e.Key })
		},
		func() error {
			return digestTable(d, structs.KeyUseRecord, tableKeyUses, func(u *structs.KeyUse) string { return u.KeyID + "\x00" + u.User })
		},
		func() error {
			return digestTable(d, structs.ClusterMetadataRecord, tableClusterMetadata, func(*structs.ClusterMetadata) string { return "" })
		},
		func() error {
			return digestTable(d, structs.AutopilotConfigRecord, tableAutopilotConfig, func(*structs.AutopilotConfig) string { return "" })
		},
		func() error {
			return digestTable(d, structs.SchedulerConfigRecord, TableSchedulerConfig, func(*structs.SchedulerConfiguration) string { return "" })
		},
	} {
		if err := add(); err != nil {
			return [sha256.Size]byte{}, err
		}
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
