package server

import (
	"encoding/binary"
	"encoding/hex"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// TestTheLogHasTheBytesOfTheWire pins how an entry is stored (docs/wire.md §8.2), as other programs read and write the file.
func TestTheLogHasTheBytesOfTheWire(t *testing.T) {
	text := func(s string) string { return hex.EncodeToString([]byte(s)) }
	const at, nano = 1700000000, 123
	for _, tc := range []struct {
		name  string
		entry raft.Log
		want  string
	}{
		{
			"a command", raft.Log{Index: 5, Term: 2, Type: raft.LogCommand, Data: []byte{0, 0x80}, AppendedAt: time.Unix(at, nano).UTC()},
			"86" + "aa" + text("AppendedAt") + "a8" + "000001ec6553f100" + "a4" + text("Data") + "a2" + "0080" + "aa" + text("Extensions") + "c0" +
				"a5" + text("Index") + "05" + "a4" + text("Term") + "02" + "a4" + text("Type") + "00",
		},
		{
			"a noop without a time", raft.Log{Index: 6, Term: 2, Type: raft.LogNoop},
			"86" + "aa" + text("AppendedAt") + "c0" + "a4" + text("Data") + "c0" + "aa" + text("Extensions") + "c0" +
				"a5" + text("Index") + "06" + "a4" + text("Term") + "02" + "a4" + text("Type") + "01",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "raft.db")
			store, err := openBolt(path, RaftConfig{})
			if err != nil {
				t.Fatal(err)
			}
			if err := store.StoreLog(&tc.entry); err != nil {
				t.Fatal(err)
			}
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			err = db.View(func(tx *bbolt.Tx) error {
				got := hex.EncodeToString(tx.Bucket([]byte("logs")).Get(binary.BigEndian.AppendUint64(nil, tc.entry.Index)))
				if got != tc.want {
					t.Errorf("stored %s\nwant   %s", got, tc.want)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
