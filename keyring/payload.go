package keyring

import (
	"bytes"
	"encoding/json"
	"strings"
)

// claimNames are the claims by which we decide something.
var claimNames = []string{
	"aud", "exp", "iat", "iss", "jti", "nbf", "sub", "nomad_node_id", "nomad_node_pool", "nomad_node_class",
	"nomad_node_datacenter", "nomad_node_name", "rollcall_node_class", "rollcall_node_datacenter", "nomad_namespace",
	"nomad_job_id", "nomad_allocation_id",
}

// checkPayload refuses a payload that two readers could read differently: one with a claim twice, of which one takes the
// first and another the last, or with a claim that only looks like one of ours, as the decoder takes names
// without regard to case and to letters that fold to the same.
func checkPayload(raw []byte) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return invalid("its payload is not a JSON object")
	}
	seen := make(map[string]bool, 16)
	var value json.RawMessage
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok || dec.Decode(&value) != nil {
			return invalid("its payload is not JSON")
		}
		if seen[name] {
			return invalid("its payload has a claim twice")
		}
		seen[name] = true
		for _, known := range claimNames {
			if name != known && strings.EqualFold(name, known) {
				return invalid("its payload has a claim that looks like %s", known)
			}
		}
	}
	return nil
}
