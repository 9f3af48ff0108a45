package snapshot

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/rollcall-id/rollcall/structs"
)

// redactedSuffix marks the ID of a key whose material was removed (wire.md §7.1), so that nobody takes it for the key.
const redactedSuffix = " [REDACTED]"

// redactRules say what Redact does with fields of records: the value that replaces the one they have.
var redactRules = map[structs.RecordType]map[string]func(raw []byte) ([]byte, error){
	structs.NodeRecord:     {"SecretID": emptyString, "SecretHash": null},
	structs.ACLTokenRecord: {"SecretID": emptyString, "SecretHash": null},
	// Its hash is what names it, and opens nothing.
	structs.OneTimeTokenRecord: {"OneTimeSecretID": emptyString, "Sealed": null},
	structs.RootKeyRecord:      {"WrappedKeys": null, "KeyID": markRedacted},
}

func emptyString([]byte) ([]byte, error) { return []byte{0xa0}, nil }
func null([]byte) ([]byte, error)        { return []byte{0xc0}, nil }

func markRedacted(raw []byte) ([]byte, error) {
	id, ok := rawString(raw)
	if !ok {
		return nil, fmt.Errorf("the key ID is not a string")
	}
	return structs.EncodeBytes(strings.TrimSuffix(id, redactedSuffix) + redactedSuffix)
}

// Redacted describes a redacted archive.
type Redacted struct {
	Written
	Records []Count // from which something was removed
}

// Redact writes a copy of v to w that can be shown to people who may see the fleet but not act for it: without the
// material of root keys (their IDs end in " [REDACTED]"), the secrets of nodes, and those of ACL tokens. Everything
// else is copied verbatim, including secrets that users have put into job definitions. Servers can't use such a copy
// as a backup: nothing in it can sign, and no node is recognised by its secret.
func Redact(ctx context.Context, w io.Writer, v *Verified, opts WriteOptions) (*Redacted, error) {
	var changed Counts
	written, err := rewrite(ctx, w, v, opts, func(rec Record) ([]byte, error) {
		raw, err := redactRecord(rec)
		if err == nil && !bytes.Equal(raw, rec.Raw) {
			changed.Add(rec.Type, len(raw))
		}
		return raw, err
	})
	if err != nil {
		return nil, fmt.Errorf("redact snapshot %s: %w", v.Name, err)
	}
	return &Redacted{*written, changed.List()}, nil
}

// redactRecord returns the value of a record without its secrets, and everything else of it as it is.
func redactRecord(rec Record) ([]byte, error) {
	rules := redactRules[rec.Type]
	if rules == nil {
		return rec.Raw, nil
	}
	_, rest, _ := mapHeader(rec.Raw)
	out := bytes.Clone(rec.Raw[:len(rec.Raw)-len(rest)])
	for f, err := range fields(rec.Raw) {
		if err != nil {
			return nil, err
		}
		value := f.raw
		if rule := rules[f.name]; rule != nil {
			if value, err = rule(f.raw); err != nil {
				return nil, err
			}
		}
		out = append(append(out, f.key...), value...)
	}
	return out, nil
}
