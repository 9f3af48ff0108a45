package snapshot

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

func TestACompatibleArchiveHasOnlyWhatOtherReadersTake(t *testing.T) {
	t.Parallel()
	clear := []byte("\x82\xaaAccessorID\xa1a\xa8SecretID\xa1s")
	hashed := []byte("\x82\xaaAccessorID\xa1b\xa8SecretID\xa0")
	job := []byte("\x81\xa2ID\xd9\x03web")
	before := verified(t,
		typed{structs.IndexRecord, structs.IndexEntry{Key: "nodes", Value: 7}}, typed{structs.NodeRecord, testNode(1)}, typed{1, job},
		typed{structs.ACLTokenRecord, clear}, typed{structs.ACLTokenRecord, hashed}, typed{structs.RootKeyRecord, testKey(1000)},
		typed{structs.NamespaceRecord, &structs.Namespace{Name: "default"}}, typed{structs.EventSinkRecord, []byte("\x80")}, typed{90, []byte("\x07")},
		typed{structs.AutopilotConfigRecord, structs.DefaultAutopilotConfig()}, typed{structs.KeyUseRecord, structs.KeyUse{KeyID: uuid(1)}},
		typed{structs.StateBaseRecord, structs.StateBase{}}, typed{structs.FeatureGateRecord, structs.FeatureGate{Name: "a"}},
		typed{structs.OneTimeTokenRecord, &structs.OneTimeToken{AccessorID: "a"}},
	)
	var out bytes.Buffer
	c, err := WriteCompatible(t.Context(), &out, before, WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var left []structs.RecordType
	for _, l := range c.LeftOut {
		left = append(left, l.Type)
		if l.Records != 1 || l.Loses == "" {
			t.Errorf("%s: %d records, which are lost as %q", l.Type, l.Records, l.Loses)
		}
	}
	if diff := cmp.Diff([]structs.RecordType{12, 20, 90, 100, 101, 102, 103, 104}, left); diff != "" {
		t.Errorf("left out (-want +got):\n%s", diff)
	}
	kept := map[structs.RecordType][]byte{}
	after, err := Verify(t.Context(), bytes.NewReader(out.Bytes()), VerifyOptions{Record: func(r Record) error {
		kept[r.Type] = bytes.Clone(r.Raw)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = after.Close() }()
	if len(kept) != 6 || !bytes.Equal(kept[1], job) || !bytes.Equal(kept[structs.ACLTokenRecord], clear) {
		t.Errorf("kept are %q", kept)
	}
	meta := before.Meta
	meta.Size = after.Meta.Size
	if diff := cmp.Diff(meta, after.Meta); diff != "" {
		t.Errorf("meta.json (-want +got):\n%s", diff)
	}
	again, err := WriteCompatible(t.Context(), new(bytes.Buffer), after, WriteOptions{})
	if err != nil || len(again.LeftOut) > 0 || again.Digest != c.Digest {
		t.Errorf("a second time %+v, error %v", again, err)
	}
}
