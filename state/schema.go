package state

import (
	"encoding/hex"
	"fmt"

	"github.com/hashicorp/go-memdb"

	"github.com/rollcall-id/rollcall/structs"
)

// Tables that have an entry in the index table, by their names in snapshots (wire.md §7.3). Append-only.
const (
	TableNodes           = "nodes"
	TableNodePools       = "node_pools"
	TableRootKeys        = "root_keys"
	TableNamespaces      = "namespaces"
	TableSchedulerConfig = "scheduler_config"
	TableACLPolicies     = "acl_policy"
	TableACLTokens       = "acl_token"
	TableACLRoles        = "acl_roles"
	TableOneTimeTokens   = "one_time_token"
	// TableACLBootstrap has no rows: its index says which command made the first token.
	TableACLBootstrap = "acl_token_bootstrap"
)

// Tables without an index entry of their own.
const (
	tableIndex           = "index"
	tableClusterMetadata = "cluster_metadata"
	tableAutopilotConfig = "autopilot_config"
	tableKeyUses         = "key_uses"
	tableFeatureGates    = "feature_gates"
	tableOpaque          = "opaque"
	tableBase            = "base"
	tableNodesBySecret   = "node_secret"
	tableNodesByKey      = "node_signing_key"
	tableNodesByPool     = "node_pool_member"
)

const (
	byID       = "id"
	byIDPrefix = "id_prefix"
	bySecret   = "secret"
	byName     = "name"
	byExpiry   = "expiry"
)

// keyIndex indexes rows of type T by a string. Written for the concrete type, since the library's own indexers
// go through reflection at every write. Keys end in a zero byte, so that no key is a prefix of another.
type keyIndex[T any] func(row T) string

var (
	_ memdb.SingleIndexer = keyIndex[*nodeRow](nil)
	_ memdb.PrefixIndexer = keyIndex[*nodeRow](nil)
)

// FromObject returns the key of a row. A row without one is an error in memdb.
func (key keyIndex[T]) FromObject(raw any) (bool, []byte, error) {
	row, ok := raw.(T)
	if !ok {
		return false, nil, fmt.Errorf("row is a %T", raw)
	}
	k := key(row)
	if k == "" {
		return false, nil, nil
	}
	return true, append(append(make([]byte, 0, len(k)+1), k...), 0), nil
}

// FromArgs returns the key that an exact lookup seeks.
func (key keyIndex[T]) FromArgs(args ...any) ([]byte, error) {
	k, err := key.PrefixFromArgs(args...)
	return append(k, 0), err
}

// PrefixFromArgs returns the start of the keys that a prefix lookup seeks.
func (key keyIndex[T]) PrefixFromArgs(args ...any) ([]byte, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("%d keys given, want 1", len(args))
	}
	k, ok := args[0].(string)
	if !ok {
		return nil, fmt.Errorf("key is a %T, want a string", args[0])
	}
	return append(make([]byte, 0, len(k)+1), k...), nil
}

// singletonKey is the key of the only row of a table that has just one.
const singletonKey = "1"

func table[T any](name string, key func(T) string) *memdb.TableSchema {
	return &memdb.TableSchema{
		Name:    name,
		Indexes: map[string]*memdb.IndexSchema{byID: {Name: byID, Unique: true, Indexer: keyIndex[T](key)}},
	}
}

func singleton[T any](name string) *memdb.TableSchema {
	return table(name, func(T) string { return singletonKey })
}

// with adds an index to a table. Rows whose key is empty are not in it.
func with[T any](t *memdb.TableSchema, name string, unique bool, key func(T) string) *memdb.TableSchema {
	t.Indexes[name] = &memdb.IndexSchema{Name: name, Unique: unique, AllowMissing: true, Indexer: keyIndex[T](key)}
	return t
}

func schema() *memdb.DBSchema {
	s := &memdb.DBSchema{Tables: map[string]*memdb.TableSchema{}}
	for _, t := range []*memdb.TableSchema{
		table(TableNodes, func(n *nodeRow) string { return n.ID }),
		table(tableNodesBySecret, func(s *nodeSet) string { return s.key }),
		table(tableNodesByKey, func(s *nodeSet) string { return s.key }),
		table(tableNodesByPool, func(s *nodeSet) string { return s.key }),
		table(TableNodePools, func(p *structs.NodePool) string { return p.Name }),
		table(TableRootKeys, func(k *structs.RootKey) string { return k.KeyID }),
		table(TableNamespaces, func(n *structs.Namespace) string { return n.Name }),
		table(TableACLPolicies, func(p *structs.ACLPolicy) string { return p.Name }),
		with(with(table(TableACLTokens, func(t *structs.ACLToken) string { return t.AccessorID }),
			bySecret, false, func(t *structs.ACLToken) string { return hex.EncodeToString(t.SecretHash) }),
			byExpiry, false, tokenExpiry),
		with(table(TableACLRoles, func(r *structs.ACLRole) string { return r.ID }),
			byName, false, func(r *structs.ACLRole) string { return r.Name }),
		table(TableOneTimeTokens, func(t *structs.OneTimeToken) string { return hex.EncodeToString(t.SecretHash) }),
		table(tableKeyUses, keyUseKey),
		table(tableFeatureGates, func(g *structs.FeatureGate) string { return g.Name }),
		table(tableIndex, func(e *structs.IndexEntry) string { return e.Key }),
		singleton[*structs.ClusterMetadata](tableClusterMetadata),
		singleton[*structs.AutopilotConfig](tableAutopilotConfig),
		singleton[*structs.SchedulerConfiguration](TableSchedulerConfig),
		singleton[*opaqueSet](tableOpaque),
		singleton[*structs.StateBase](tableBase),
	} {
		s.Tables[t.Name] = t
	}
	return s
}
