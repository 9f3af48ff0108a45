package state

import (
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// CollectEvents makes the transaction note what its commands change, for Events; about so many. Without it nothing is
// noted.
func (t *Txn) CollectEvents(about int) { t.room = about }

// Events returns what the commands have changed, in the order of their indexes. It is the caller's once the
// transaction has ended.
func (t *Txn) Events() []structs.Event { return t.events }

// collects reports whether changes are to be noted.
func (t *Txn) collects() bool { return t.room > 0 }

// emit notes a change that a command has made. payload must not change any more.
func (t *Txn) emit(e structs.Event) {
	if t.events == nil {
		t.events = make([]structs.Event, 0, t.room)
	}
	t.events = append(t.events, e)
}

func (t *Txn) emitNode(index uint64, kind string, n *nodeRow) {
	if t.collects() {
		t.emit(structs.Event{Topic: structs.TopicNode, Type: kind, Key: n.ID, Index: index, Payload: n.Node})
	}
}

func (t *Txn) emitNodePool(index uint64, kind string, p *structs.NodePool) {
	if t.collects() {
		t.emit(structs.Event{Topic: structs.TopicNodePool, Type: kind, Key: p.Name, Index: index, Payload: p})
	}
}

// emitKey notes a change of a root key, without its material.
func (t *Txn) emitKey(index uint64, kind string, k *structs.RootKey) {
	if t.collects() {
		t.emit(structs.Event{Topic: structs.TopicKeyring, Type: kind, Key: k.KeyID, Index: index, Payload: k.Meta()})
	}
}

// emitACLToken notes a change of a token, of which the state has no secret, and the event not its hash.
func (t *Txn) emitACLToken(index uint64, kind string, token *structs.ACLToken) {
	if t.collects() {
		t.emit(structs.Event{Topic: structs.TopicACLToken, Type: kind, Key: token.AccessorID, Index: index, Payload: token})
	}
}

func (t *Txn) emitACLPolicy(index uint64, kind string, p *structs.ACLPolicy) {
	if t.collects() {
		t.emit(structs.Event{Topic: structs.TopicACLPolicy, Type: kind, Key: p.Name, Index: index, Payload: p})
	}
}

// emitACLRole notes a change of a role, which is found by its name, too.
func (t *Txn) emitACLRole(index uint64, kind string, r *structs.ACLRole) {
	if t.collects() {
		t.emit(structs.Event{Topic: structs.TopicACLRole, Type: kind, Key: r.ID, FilterKeys: []string{r.Name}, Index: index, Payload: r})
	}
}

// emitIdentity notes that the node, which was old before, has got an identity with ttl. old may be nil.
func (t *Txn) emitIdentity(index uint64, old, n *nodeRow, ttl time.Duration) {
	if !t.collects() {
		return
	}
	previous := ""
	if old != nil {
		previous = old.IdentitySigningKeyID
	}
	change := structs.NewIdentityChange(n.Node, n.IdentitySigningKeyID, previous, n.StatusUpdatedAt, ttl)
	t.emit(change.Event(index))
}

// keyEventType is what a key's change from old, nil for a new key, means.
func keyEventType(old, k *structs.RootKey) string {
	switch {
	case k.IsActive() && old != nil && old.IsPrepublished():
		return structs.EventKeyringPromoted
	case k.IsActive() && (old == nil || !old.IsActive()):
		return structs.EventKeyringRotated
	case k.IsPrepublished() && old == nil:
		return structs.EventKeyringPrepublished
	}
	return structs.EventKeyringUpdated
}
