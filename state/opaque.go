package state

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/rollcall-id/rollcall/structs"
)

// Snapshot records of another product's types that name the root key they need (wire.md §7.2).
const (
	allocationRecord structs.RecordType = 4
	variableRecord   structs.RecordType = 22
)

// opaqueSet is what a restore brought of types that are kept but not read. It never changes once it is committed.
type opaqueSet struct {
	records  []structs.OpaqueRecord // by type, within a type in the order of the snapshot
	keyUsers map[string]int         // records that need a root key, by the key's ID
}

// OpaqueRecords returns the restored records of types that are only kept, sorted by type and within a type in the
// order in which they came.
func (v view) OpaqueRecords() []structs.OpaqueRecord {
	set, err := get[opaqueSet](v.read(), nil, tableOpaque, singletonKey)
	if err != nil || set == nil { // the schema has the table: only absence is possible
		return nil
	}
	return set.records
}

func (o *opaqueSet) add(r structs.OpaqueRecord) error {
	keyID, err := neededKey(r)
	if err != nil {
		return err
	}
	if keyID != "" {
		o.keyUsers[keyID]++
	}
	o.records = append(o.records, r)
	return nil
}

// seal sorts the records.
func (o *opaqueSet) seal() {
	slices.SortStableFunc(o.records, func(a, b structs.OpaqueRecord) int { return cmp.Compare(a.Type, b.Type) })
}

// digest returns the sum of the hashes of the records.
func (o *opaqueSet) digest(h *hasher) (sum digestSum) {
	var position uint64
	for i, r := range o.records {
		if i > 0 && o.records[i-1].Type != r.Type {
			position = 0
		}
		sum.add(h.opaque(r, position))
		position++
	}
	return sum
}

// neededKey returns the ID of the root key that the record can't do without, "" if there is none.
func neededKey(r structs.OpaqueRecord) (string, error) {
	switch r.Type {
	case allocationRecord:
		var a struct {
			SigningKeyID string
			ClientStatus string
		}
		if err := structs.Decode(r.Data, &a); err != nil {
			return "", fmt.Errorf("restore %s record: %w", r.Type, err)
		}
		switch a.ClientStatus {
		case "complete", "failed", "lost":
			return "", nil
		}
		return a.SigningKeyID, nil
	case variableRecord:
		var v struct{ KeyID string }
		if err := structs.Decode(r.Data, &v); err != nil {
			return "", fmt.Errorf("restore %s record: %w", r.Type, err)
		}
		return v.KeyID, nil
	}
	return "", nil
}
