package structs

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Topics of the event stream that have events here (wire.md §5.8; Identity and Keyring are ours).
const (
	TopicNode     = "Node"
	TopicNodePool = "NodePool"
	TopicIdentity = "Identity"
	TopicKeyring  = "Keyring"

	TopicACLToken  = "ACLToken"
	TopicACLPolicy = "ACLPolicy"
	TopicACLRole   = "ACLRole"

	TopicAll = "*"
)

// foreignTopics belong to parts of the wider product that are not here: asking for one is no mistake, it just never has
// an event.
var foreignTopics = []string{
	"Job", "Evaluation", "Allocation", "Deployment", "Service", "HostVolume", "CSIVolume", "CSIPlugin",
	"ACLAuthMethod", "ACLBindingRule", "Operator",
}

// Types of events. Those of nodes, node pools and ACLs are named by wire.md §5.8.
const (
	EventNodeRegistration   = "NodeRegistration"
	EventNodeDeregistration = "NodeDeregistration"
	EventNodeStream         = "NodeStreamEvent" // its status or its history has changed
	EventNodeEligibility    = "NodeEligibility"
	EventNodeDrain          = "NodeDrain"

	EventNodePoolUpserted = "NodePoolUpserted"
	EventNodePoolDeleted  = "NodePoolDeleted"

	EventIdentityIssued  = "IdentityIssued" // the node had none that is known
	EventIdentityRenewed = "IdentityRenewed"

	EventKeyringPrepublished = "KeyringPrepublished" // a key that signs nothing yet
	EventKeyringRotated      = "KeyringRotated"      // a new key is the active one
	EventKeyringPromoted     = "KeyringPromoted"     // a prepublished key has become the active one
	EventKeyringUpdated      = "KeyringUpdated"      // another change of a key, as becoming inactive
	EventKeyringRemoved      = "KeyringRemoved"

	EventACLTokenUpserted  = "ACLTokenUpserted"
	EventACLTokenDeleted   = "ACLTokenDeleted"
	EventACLPolicyUpserted = "ACLPolicyUpserted"
	EventACLPolicyDeleted  = "ACLPolicyDeleted"
	EventACLRoleUpserted   = "ACLRoleUpserted"
	EventACLRoleDeleted    = "ACLRoleDeleted"
)

// Event is one change of the state, as the event stream tells it. It is never changed once made, and what Payload
// points to is not either.
type Event struct {
	Topic      string
	Type       string
	Key        string // the ID or name of what has changed
	Namespace  string // empty: nothing here has one
	FilterKeys []string
	Index      uint64 // of the log entry that made the change
	// Payload is what has changed, as it was after the change or, if that removed it, before: a *Node, *NodePool,
	// *IdentityChange, *RootKeyMeta, *ACLToken without its secret, *ACLPolicy or *ACLRole.
	Payload any
}

// IdentityChange is the payload of topic Identity: that a node was given an identity, never the identity itself.
type IdentityChange struct {
	NodeID     string
	NodeName   string
	NodePool   string
	NodeClass  string
	Datacenter string
	KeyID      string // root key that signed it
	// PreviousKeyID is the key that signed the identity before; empty if there was none.
	PreviousKeyID string
	IssuedAt      time.Time     // to the second
	TTL           time.Duration // ns; 0 when it is not known, as in logs of other writers
}

// NewIdentityChange describes an identity that the node got at issued, Unix seconds.
func NewIdentityChange(n *Node, keyID, previousKeyID string, issued int64, ttl time.Duration) *IdentityChange {
	return &IdentityChange{
		NodeID: n.ID, NodeName: n.Name, NodePool: n.NodePool, NodeClass: n.NodeClass, Datacenter: n.Datacenter,
		KeyID: keyID, PreviousKeyID: previousKeyID, IssuedAt: time.Unix(issued, 0).UTC(), TTL: max(ttl, 0),
	}
}

// Event returns the change as an event. Its filter keys are the signing key and the pool.
func (i *IdentityChange) Event(index uint64) Event {
	e := Event{
		Topic: TopicIdentity, Type: EventIdentityIssued, Key: i.NodeID, FilterKeys: []string{i.KeyID, i.NodePool},
		Index: index, Payload: i,
	}
	if i.PreviousKeyID != "" {
		e.Type = EventIdentityRenewed
	}
	return e
}

// eventJSON is an Event on the wire: the payload is an object with one key, the topic.
type eventJSON struct {
	Topic, Type, Key, Namespace string
	FilterKeys                  []string
	Index                       uint64
	Payload                     map[string]any
}

// nodeEventJSON is a node as the API shows it (wire.md §5.1).
type nodeEventJSON struct {
	*Node
	Drain bool
}

// MarshalJSON returns the event as the API shows it, without anything secret.
func (e *Event) MarshalJSON() ([]byte, error) {
	shown := e.Payload
	if n, ok := shown.(*Node); ok {
		shown = nodeEventJSON{Node: n.Sanitized(), Drain: n.DrainStrategy != nil}
	}
	return json.Marshal(eventJSON{
		Topic: e.Topic, Type: e.Type, Key: e.Key, Namespace: e.Namespace, FilterKeys: e.FilterKeys, Index: e.Index,
		Payload: map[string]any{e.Topic: shown},
	})
}

// Limits of a subscription.
const (
	MaxEventTopics   = 128 // keys counted
	MaxEventKeyBytes = 256
)

// ParseEventTopic reads "Topic" or "Topic:key", where a topic or key of "*" means all.
func ParseEventTopic(s string) (topic, key string, err error) {
	topic, key, keyed := strings.Cut(s, ":")
	switch {
	case !keyed:
		key = TopicAll
	case strings.Contains(key, ":"):
		return "", "", fmt.Errorf("topic %q has more than one colon; want Topic or Topic:key", s)
	}
	if err := validateEventTopic(topic, key); err != nil {
		return "", "", err
	}
	return topic, key, nil
}

func validateEventTopic(topic, key string) error {
	switch {
	case topic == "":
		return fmt.Errorf("a topic is empty; want Topic or Topic:key")
	case key == "":
		return fmt.Errorf("topic %q has an empty key; leave out the colon for all keys", topic)
	case len(key) > MaxEventKeyBytes:
		return fmt.Errorf("a key of topic %q is longer than %d bytes", topic, MaxEventKeyBytes)
	case topic != TopicAll && !slices.Contains(eventTopics, topic) && !slices.Contains(foreignTopics, topic):
		return fmt.Errorf("topic %q is not known; topics with events are %s", topic, strings.Join(eventTopics, ", "))
	}
	return nil
}

// eventTopics are the topics that have events. A new one gets a line here and its events in package state.
var eventTopics = []string{TopicNode, TopicNodePool, TopicIdentity, TopicKeyring, TopicACLToken, TopicACLPolicy, TopicACLRole}

// EventStreamRequest follows the header of the streaming call Event.Stream (wire.md §5.8).
type EventStreamRequest struct {
	Topics map[string][]string // keys of each topic; none at all means everything
	Index  uint64              // the first index wanted; 0 means whatever is there, and what comes
	QueryOptions
}

// EventTopics returns the topics that the request names, in no order.
func (r *EventStreamRequest) EventTopics() []string {
	out := make([]string, 0, len(r.Topics))
	for topic := range r.Topics { // map order: whoever asks looks at all of them
		out = append(out, topic)
	}
	return out
}

// Validate reports what is wrong with the topics.
func (r *EventStreamRequest) Validate() error {
	n := 0
	for topic, keys := range r.Topics { // map order: an error may name any of several mistakes
		n += max(len(keys), 1)
		if n > MaxEventTopics {
			return fmt.Errorf("more than %d topics and keys", MaxEventTopics)
		}
		if len(keys) == 0 {
			keys = []string{TopicAll}
		}
		for _, key := range keys {
			if err := validateEventTopic(topic, key); err != nil {
				return err
			}
		}
	}
	return nil
}

// EventFrame is one message of the stream: events of one index, a heartbeat, or why the stream ends.
type EventFrame struct {
	Error *StreamError
	Event *EventData
}

// EventData is a line of the stream.
type EventData struct {
	Data []byte // JSON
}
