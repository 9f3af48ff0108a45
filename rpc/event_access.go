package rpc

import (
	"maps"
	"slices"

	"github.com/rollcall-id/rollcall/acl"
	"github.com/rollcall-id/rollcall/structs"
)

// topicNeeds is what a caller must be good for to follow a topic of the event stream, with ACLs on. Every topic that has
// events has a row; of the others there is nothing to see.
var topicNeeds = map[string]acl.Capability{
	structs.TopicNode:      acl.NodeRead,
	structs.TopicIdentity:  acl.NodeRead,
	structs.TopicNodePool:  acl.PoolRead, // of any pool; shows those pools
	structs.TopicKeyring:   acl.KeyringRead,
	structs.TopicACLToken:  acl.Management,
	structs.TopicACLPolicy: acl.Management,
	structs.TopicACLRole:   acl.Management,
}

// TopicAccess is who may follow a topic.
type TopicAccess struct{ Topic, WithACLs, WithoutACLs string }

// EventTopics returns every topic that has events, sorted, with who may follow it.
func EventTopics() []TopicAccess {
	var out []TopicAccess
	for _, topic := range slices.Sorted(maps.Keys(topicNeeds)) {
		a := read(topicNeeds[topic])
		a.Filtered = topicNeeds[topic].OfPool()
		a.OnlyACLs = topicNeeds[topic] == acl.Management
		out = append(out, TopicAccess{topic, a.WithACLs(), a.WithoutACLs()})
	}
	return out
}

// seesTopic reports whether the caller may follow the topic, or some of its keys.
func (c *Call) seesTopic(topic string) bool {
	need := topicNeeds[topic]
	switch {
	case need == "":
		return false
	case !c.srv.cfg.ACL.Enabled:
		return need != acl.Management // what is left of ACLs that were turned off is for nobody
	case need.OfPool():
		return c.caller.ACL.AllowsSomePool(need)
	}
	return c.caller.ACL.Allows(need)
}

// authorizeTopics refuses a caller who names a topic that it may not follow, and one who may follow none: who asks for all
// topics gets those that it may.
func (c *Call) authorizeTopics(topics []string) error {
	for _, topic := range topics {
		if topicNeeds[topic] != "" && !c.seesTopic(topic) {
			return structs.ErrPermissionDenied
		}
	}
	for topic := range topicNeeds {
		if c.seesTopic(topic) {
			return nil
		}
	}
	return structs.ErrPermissionDenied
}

// visibleEvents leaves out what the caller may not see. The events are the caller's to change.
func (c *Call) visibleEvents(events []structs.Event) []structs.Event {
	return slices.DeleteFunc(events, func(e structs.Event) bool {
		return !c.seesTopic(e.Topic) || e.Topic == structs.TopicNodePool && !c.seesPool(e.Key)
	})
}
