package structs

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseEventTopic(t *testing.T) {
	for _, tc := range []struct {
		name, in, topic, key, problem string
	}{
		{"a topic", "Node", "Node", "*", ""},
		{"a topic with all keys", "Node:*", "Node", "*", ""},
		{"a key", "NodePool:default", "NodePool", "default", ""},
		{"everything", "*", "*", "*", ""},
		{"a key of any topic", "*:abc", "*", "abc", ""},
		{"a topic of what is not here", "Job:web", "Job", "web", ""},
		{"two colons", "Node:a:b", "", "", "more than one colon"},
		{"no topic", "", "", "", "a topic is empty"},
		{"no topic before the key", ":a", "", "", "a topic is empty"},
		{"no key", "Node:", "", "", "empty key"},
		{"an unknown topic", "node", "", "", "not known"},
		{"a long key", "Node:" + strings.Repeat("x", MaxEventKeyBytes+1), "", "", "longer than"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			topic, key, err := ParseEventTopic(tc.in)
			if topic != tc.topic || key != tc.key || (err == nil) != (tc.problem == "") || err != nil && !strings.Contains(err.Error(), tc.problem) {
				t.Errorf("got %q, %q, %v", topic, key, err)
			}
		})
	}
}

func TestEventStreamRequestsAreLimited(t *testing.T) {
	r := &EventStreamRequest{Topics: map[string][]string{"Node": nil}}
	for i := range MaxEventTopics - 1 {
		r.Topics["NodePool"] = append(r.Topics["NodePool"], fmt.Sprint(i))
	}
	if err := r.Validate(); err != nil {
		t.Errorf("as many topics as there may be: %v", err)
	}
	r.Topics["Keyring"] = nil
	if err := r.Validate(); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("one topic too many: %v", err)
	}
	for _, topics := range []map[string][]string{{"": nil}, {"Nope": nil}, {"Node": {""}}} {
		if err := (&EventStreamRequest{Topics: topics}).Validate(); err == nil {
			t.Errorf("topics %v are accepted", topics)
		}
	}
}

func FuzzParseEventTopic(f *testing.F) {
	for _, s := range []string{"Node", "Node:*", "*:x", "a:b:c", ":", "Identity:00000000-0000-4000-8000-000000000001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		topic, key, err := ParseEventTopic(s)
		if err != nil {
			return
		}
		again, sameKey, err := ParseEventTopic(topic + ":" + key)
		if err != nil || again != topic || sameKey != key || strings.Contains(key, ":") {
			t.Errorf("%q is %q and %q, which reads as %q and %q, %v", s, topic, key, again, sameKey, err)
		}
	})
}
