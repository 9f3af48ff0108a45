package snapshot

import (
	"context"
	"fmt"
	"io"

	"github.com/rollcall-id/rollcall/structs"
)

// LeftOut is how many records of a type a compatible archive does not have, and what a restore of it is without.
type LeftOut struct {
	Type    structs.RecordType
	Records uint64
	Loses   string
}

// Compatible describes an archive for other readers of the format.
type Compatible struct {
	Written
	LeftOut []LeftOut // sorted by type; empty if nothing had to go
}

// losses say what a restore is without, by type of record.
var losses = map[structs.RecordType]string{
	structs.ACLTokenRecord:        "these tokens: servers keep only the hash of a secret, which other readers don't know",
	structs.EventSinkRecord:       "nothing: no version has a use for them",
	structs.AutopilotConfigRecord: "autopilot's configuration; the next leader begins with that of its own file",
	structs.KeyUseRecord:          "notes of root keys that skipped records of jobs and variables need; those keys may be removed sooner",
	structs.StateBaseRecord:       "what the state grew from; state digests are compared with those of the same restore only",
	structs.FeatureGateRecord:     "which features all servers know; they begin again once all have been seen to",
	structs.OneTimeTokenRecord:    "one-time tokens that have not been exchanged; they live for minutes",
}

// WriteCompatible writes a copy of v to w that has only what wire.md §7.2 lists: readers of that format refuse an archive
// with a record that they don't know. Records of other types are left out, and so are ACL tokens without a secret in clear, by
// which such readers tell them apart. All others are copied verbatim; fields of ours in them are left alone, since readers pass
// over fields that they don't know.
func WriteCompatible(ctx context.Context, w io.Writer, v *Verified, opts WriteOptions) (*Compatible, error) {
	var left Counts
	written, err := rewrite(ctx, w, v, opts, func(rec Record) ([]byte, error) {
		keep, err := isCompatible(rec)
		if err != nil || keep {
			return rec.Raw, err
		}
		left.Add(rec.Type, len(rec.Raw))
		return nil, nil
	})
	if err != nil {
		return nil, fmt.Errorf("make snapshot %s compatible: %w", v.Name, err)
	}
	out := &Compatible{Written: *written, LeftOut: []LeftOut{}}
	for _, c := range left.List() {
		loses := losses[c.Type]
		if loses == "" {
			loses = "records of a type that this version does not know"
		}
		out.LeftOut = append(out.LeftOut, LeftOut{c.Type, c.Records, loses})
	}
	return out, nil
}

// isCompatible reports whether readers that know wire.md §7.2 alone take the record.
func isCompatible(rec Record) (bool, error) {
	switch {
	case !rec.Type.Compatible():
		return false, nil
	case rec.Type != structs.ACLTokenRecord:
		return true, nil
	}
	for f, err := range fields(rec.Raw) {
		if err != nil {
			return false, rec.Fail(err)
		}
		if secret, ok := rawString(f.raw); f.name == "SecretID" && ok && secret != "" {
			return true, nil
		}
	}
	return false, nil
}

// rewrite writes a copy of v whose records change makes from those of v; nil leaves a record out.
func rewrite(ctx context.Context, w io.Writer, v *Verified, opts WriteOptions, change func(Record) ([]byte, error)) (*Written, error) {
	meta := v.Meta
	meta.Size = 0 // another one
	if p := opts.Progress; p != nil {
		opts.Progress = func(done, _ int64) { p(done, v.Meta.Size) }
	}
	return Write(ctx, w, meta, func(out io.Writer) error {
		sw := NewWriter(out)
		err := v.Records(ctx, func(rec Record) error {
			raw, err := change(rec)
			if err != nil || raw == nil {
				return err
			}
			return sw.WriteRaw(rec.Type, raw)
		})
		if err != nil {
			return err
		}
		return sw.Flush()
	}, opts)
}
