package snapshot_test

import (
	"bytes"
	"testing"

	"github.com/rollcall-id/rollcall/fsm"
	"github.com/rollcall-id/rollcall/snapshot"
	"github.com/rollcall-id/rollcall/structs"
)

// TestSummariesSayWhatARestoreDoes: the two tables are in different packages.
func TestSummariesSayWhatARestoreDoes(t *testing.T) {
	t.Parallel()
	for n := range 128 {
		typ := structs.RecordType(n)
		_, report, err := fsm.ReadState(bytes.NewReader([]byte{0x80, byte(n), 0x80}))
		var want snapshot.Meaning
		switch {
		case err != nil || len(report.Records) > 0: // an empty record of a type that has a meaning may be refused
			want = snapshot.Loaded
		case len(report.Discarded) > 0:
			want = snapshot.Discarded
		case typ.Known():
			want = snapshot.Opaque
		default:
			want = snapshot.Unknown
		}
		if got := snapshot.MeaningOf(typ); got != want {
			t.Errorf("type %s (%d) is called %s, but a restore finds it %s", typ, n, got, want)
		}
	}
}
