package fsm

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/snapshot"
	"github.com/rollcall-id/rollcall/structs"
)

// record is one record to be written to a stream.
type record struct {
	t structs.RecordType
	v any // []byte is written as it is
}

func streamOf(tb testing.TB, records ...record) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := snapshot.NewWriter(&out)
	for _, r := range records {
		var err error
		if raw, ok := r.v.([]byte); ok {
			err = w.WriteRaw(r.t, raw)
		} else {
			err = w.WriteRecord(r.t, r.v)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// everything is a stream with records of all kinds, in no particular order.
func everything(tb testing.TB) []byte {
	legacyKey := activeKey(1).WrappedRootKeys.Meta()
	legacyKey.State = structs.KeyStateInactive
	return streamOf(tb,
		record{90, []byte("\x81\xa1n\x01")}, // of a type that does not exist yet
		record{structs.NodeRecord, registration(2, 2).Node},
		record{structs.NodeRecord, registration(1, 2).Node},
		record{structs.TimeTableRecord, []byte{0x91, 0xc0}},
		record{structs.VaultAccessorRecord, []byte{0x80}},
		record{structs.ServiceTokenRecord, []byte{0x80}},
		record{structs.RootKeyMetaRecord, legacyKey},
		record{structs.RootKeyRecord, activeKey(2).WrappedRootKeys},
		record{structs.AutopilotConfigRecord, structs.DefaultAutopilotConfig()},
		record{structs.SchedulerConfigRecord, structs.DefaultSchedulerConfiguration()},
		record{structs.ClusterMetadataRecord, &structs.ClusterMetadata{ClusterID: uuid(7), CreateTime: 7}},
		record{structs.NodePoolRecord, &structs.NodePool{Name: "old", CreateIndex: 3, ModifyIndex: 4}},
		record{structs.NodePoolRecord, &structs.NodePool{Name: "new", NodeIdentityTTL: time.Hour}},
		record{structs.NamespaceRecord, &structs.Namespace{Name: "a"}},
		record{structs.KeyUseRecord, structs.KeyUse{KeyID: uuid(902), User: "allocation"}},
		record{structs.FeatureGateRecord, structs.FeatureGate{Name: "node_identity", MinBuild: "1.11.0"}},
		record{structs.ACLPolicyRecord, &structs.ACLPolicy{Name: "read", Rules: "node {}"}},
		record{structs.ACLTokenRecord, []byte("\x83\xaaAccessorID\xda\x00\x24" + uuid(800) + "\xa8SecretID\xda\x00\x24" + uuid(801) + "\xa6Future\xd1\x00\xc8")},
		record{structs.ACLRoleRecord, &structs.ACLRole{ID: uuid(802), Name: "viewer", Policies: []*structs.ACLRolePolicyLink{{Name: "read"}}}},
		record{structs.OneTimeTokenRecord, &structs.OneTimeToken{SecretHash: structs.HashSecret(uuid(803)), AccessorID: uuid(800)}},
		record{structs.IndexRecord, structs.IndexEntry{Key: "nodes", Value: 77}},
		record{structs.IndexRecord, structs.IndexEntry{Key: "jobs", Value: 99}},
		record{1, []byte("\x81\xa2ID\xd9\x03web")}, // a job, with a string form that we don't write
		record{4, []byte("\x81\xacSigningKeyID\xda\x00\x24" + uuid(901))},
		record{1, []byte("\x81\xa2ID\xa1a")},
	)
}

func TestRestoreLoadsKeepsOrDiscardsEveryRecord(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	f := New(Config{Logger: hclog.New(&hclog.LoggerOptions{Output: &log})})
	if f.LastRestore() != nil {
		t.Error("a report before the first restore")
	}
	restore(t, f, everything(t))
	s := f.State()
	if n := node(t, f, uuid(1)); n.SecretID != "" || !n.SecretMatches(registration(1, 0).Node.SecretID) || s.NodeCount() != 2 {
		t.Errorf("node %+v of %d", n, s.NodeCount())
	}
	if k := rootKey(t, f, uuid(901)); k == nil || len(k.WrappedKeys) != 0 || !k.IsInactive() {
		t.Errorf("key of an old version: %+v", k)
	}
	if k := rootKey(t, f, uuid(902)); k == nil || len(k.WrappedKeys) != 1 || k.SigningAlgorithm != structs.AlgES256 {
		t.Errorf("key: %+v", k)
	}
	if a, b := pool(t, f, "old"), pool(t, f, "new"); a.NodeIdentityTTL != 24*time.Hour || len(a.Hash) != 32 || a.ModifyIndex != 4 || b.NodeIdentityTTL != time.Hour {
		t.Errorf("pools %+v, %+v", a, b)
	}
	if token, err := s.ACLTokenBySecretHash(nil, structs.HashSecret(uuid(801))); err != nil || token == nil || token.SecretID != "" || len(token.Rest) == 0 {
		t.Errorf("token %+v, %v", token, err)
	}
	if c, err := s.AutopilotConfig(nil); err != nil || c == nil || !c.CleanupDeadServers {
		t.Errorf("autopilot %+v, %v", c, err)
	}
	for key, foreign := range map[string]int{uuid(901): 1, uuid(902): 1} {
		if u, err := s.KeyUsers(key, 1); err != nil || u.Foreign != foreign {
			t.Errorf("users of %s: %+v, %v", key, u, err)
		}
	}
	want := []structs.OpaqueRecord{
		{Type: 1, Data: structs.Raw("\x81\xa2ID\xd9\x03web")}, {Type: 1, Data: structs.Raw("\x81\xa2ID\xa1a")},
		{Type: 4, Data: structs.Raw("\x81\xacSigningKeyID\xda\x00\x24" + uuid(901))}, {Type: 90, Data: structs.Raw("\x81\xa1n\x01")},
	}
	if diff := cmp.Diff(want, s.OpaqueRecords()); diff != "" {
		t.Errorf("opaque, -want +got:\n%s", diff)
	}

	r := f.LastRestore()
	if r.Index != 99 || r.PoolsBackfilled != 1 || r.SecretsConverted != 3 {
		t.Errorf("report %+v", r)
	}
	count := func(list []snapshot.Count) map[structs.RecordType]uint64 {
		m := map[structs.RecordType]uint64{}
		for _, c := range list {
			m[c.Type] = c.Records
		}
		return m
	}
	if diff := cmp.Diff(map[structs.RecordType]uint64{1: 2, 4: 1, 90: 1}, count(r.Opaque)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[structs.RecordType]uint64{5: 1, 8: 1, 15: 1}, count(r.Discarded)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[structs.RecordType]uint64{0: 2, 2: 2, 13: 1, 14: 1, 24: 1, 28: 2, 30: 1, 64: 1, 100: 1, 101: 1, 103: 1, 11: 1, 12: 1, 25: 1, 104: 1}, count(r.Records)); diff != "" {
		t.Error(diff)
	}
	for _, text := range []string{"secrets_converted=3", "pools_backfilled=1", "type=Job records=2", "[WARN]  kept snapshot records of an unknown type", "type=TimeTable"} {
		if !strings.Contains(log.String(), text) {
			t.Errorf("the log does not say %q:\n%s", text, &log)
		}
	}
	if strings.Contains(log.String(), registration(1, 0).Node.SecretID) {
		t.Error("a secret is in the log")
	}
}

func TestSnapshotHasTheDocumentedOrderAndNoSecrets(t *testing.T) {
	t.Parallel()
	f := New(Config{})
	restore(t, f, everything(t))
	saved := persist(t, f)
	var types []structs.RecordType
	in := snapshot.NewReader(bytes.NewReader(saved))
	for rec, err := in.Next(); err == nil; rec, err = in.Next() {
		types = append(types, rec.Type)
	}
	want := []structs.RecordType{2, 2, 2, 2, 0, 0, 28, 28, 28, 28, 1, 1, 4, 11, 12, 64, 64, 13, 14, 30, 30, 25, 90, 102, 100, 101, 103, 104}
	if diff := cmp.Diff(want, types); diff != "" {
		t.Errorf("types, -want +got:\n%s", diff)
	}
	for i := 1; i <= 2; i++ {
		if bytes.Contains(saved, []byte(registration(i, 0).Node.SecretID)) {
			t.Error("a secret ID is in the snapshot")
		}
	}
	if bytes.Contains(saved, []byte(uuid(801))) || !bytes.Contains(saved, []byte("Future")) {
		t.Error("the snapshot has the secret of a token, or has lost what this version does not know of it")
	}
	again := New(Config{})
	restore(t, again, saved)
	sameState(t, "restored from what it saved", f, again)
}

func TestAFailedRestoreLeavesTheOldState(t *testing.T) {
	t.Parallel()
	whole := everything(t)
	good := streamOf(t, record{structs.IndexRecord, structs.IndexEntry{Key: "nodes", Value: 1}})
	at := len(good)
	with := func(r record) []byte { return append(slices.Clone(good), streamOf(t, r)[1:]...) }
	boom := errors.New("source broke")
	cases := []struct {
		name string
		src  io.Reader
		want error
		text string
	}{
		{"nothing", strings.NewReader(""), structs.ErrTruncated, "header"},
		{"something else", strings.NewReader("{}"), snapshot.ErrBadHeader, "header"},
		{"a stream that is cut off", bytes.NewReader(whole[:len(whole)-2]), structs.ErrTruncated, "record 25 (Job, type 1)"},
		{"a source that breaks", io.MultiReader(bytes.NewReader(good), brokenReader{boom}), boom, "after record 1"},
		{"an impossible type", bytes.NewReader(append(slices.Clone(good), 200, 0xc0)), snapshot.ErrBadType, "record 2 (unknown(200), type 200)"},
		{"a node without an ID", bytes.NewReader(with(record{structs.NodeRecord, &structs.Node{}})), nil, "record 2 (Node, type 0)"},
		{"a node that is nil", bytes.NewReader(with(record{structs.NodeRecord, nil})), nil, "record 2 (Node, type 0)"},
		{"a node that is a string", bytes.NewReader(with(record{structs.NodeRecord, "node"})), nil, "record 2 (Node, type 0)"},
		{"a pool without a name", bytes.NewReader(with(record{structs.NodePoolRecord, &structs.NodePool{}})), nil, "record 2 (NodePool, type 28)"},
		{"a pool with a negative TTL", bytes.NewReader(with(record{structs.NodePoolRecord, &structs.NodePool{Name: "a", NodeIdentityTTL: -1}})), nil, "record 2 (NodePool, type 28)"},
		{"a key without an ID", bytes.NewReader(with(record{structs.RootKeyRecord, &structs.RootKey{}})), nil, "record 2 (RootKey, type 30)"},
		{"a key of an old version without an ID", bytes.NewReader(with(record{structs.RootKeyMetaRecord, &structs.RootKeyMeta{}})), nil, "record 2 (RootKeyMeta, type 24)"},
		{"a key use of nobody", bytes.NewReader(with(record{structs.KeyUseRecord, structs.KeyUse{KeyID: "a"}})), nil, "record 2 (KeyUse, type 101)"},
		{"an index of no table", bytes.NewReader(with(record{structs.IndexRecord, structs.IndexEntry{Value: 1}})), nil, "record 2 (Index, type 2)"},
		{"a namespace without a name", bytes.NewReader(with(record{structs.NamespaceRecord, &structs.Namespace{}})), nil, "record 2 (Namespace, type 64)"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := New(Config{OnRestore: func(RestoreReport) { t.Error("OnRestore was called") }, OnFatal: func(err error) { t.Error(err) }})
			apply(t, f, 10, structs.NodeRegisterMsg, registration(1, 1))
			before, was := digest(t, f), f.State()
			src := &closing{Reader: c.src}
			err := f.Restore(src)
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %v with %q", err, c.want, c.text)
			}
			var place *snapshot.RecordError
			if errors.As(err, &place) && place.Number == 2 && place.Offset != int64(at) {
				t.Errorf("at byte %d, want %d", place.Offset, at)
			}
			if f.State() != was || digest(t, f) != before || !src.closed || f.LastRestore() != nil {
				t.Error("the old state is not as it was, or the source is open")
			}
			select {
			case <-was.AbandonCh():
				t.Error("the old state was abandoned")
			default:
			}
			apply(t, f, 11, structs.NodeRegisterMsg, registration(2, 1))
		})
	}
}

type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) { return 0, b.err }

type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }

func TestRestoreReplacesTheStateAndWakesItsReaders(t *testing.T) {
	t.Parallel()
	var f *FSM
	calls := 0
	f = New(Config{OnRestore: func(r RestoreReport) {
		calls++
		if f.State().NodeCount() != 2 || r.SecretsConverted != 3 {
			t.Errorf("in OnRestore: %d nodes, %+v", f.State().NodeCount(), r)
		}
	}})
	apply(t, f, 10, structs.NodeRegisterMsg, registration(9, 1))
	old := f.State()
	restore(t, f, everything(t))
	select {
	case <-old.AbandonCh():
	default:
		t.Error("who waits on the old state is not woken")
	}
	if f.State() == old || calls != 1 {
		t.Errorf("OnRestore called %d times", calls)
	}
	if n, err := f.State().NodeByID(nil, uuid(9)); err != nil || n != nil {
		t.Errorf("a node of the old state: %v, %v", n, err)
	}
	apply(t, f, 100, structs.NodeRegisterMsg, registration(3, 1))
	if f.State().NodeCount() != 3 {
		t.Error("the new state takes no commands")
	}
}

func TestPersistCancelsTheSinkWhenItFails(t *testing.T) {
	t.Parallel()
	f := New(Config{})
	for i := range 400 {
		apply(t, f, uint64(10+i), structs.NodeRegisterMsg, registration(i, 20))
	}
	snap, err := f.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{1, 300 << 10} { // at the end, and in the middle
		sink := &memorySink{failAfter: limit}
		if err := snap.Persist(sink); !errors.Is(err, errSink) || !sink.canceled || sink.closed {
			t.Errorf("%v, canceled %v, closed %v", err, sink.canceled, sink.closed)
		}
	}
	sink := &memorySink{closeErr: errSink}
	if err := snap.Persist(sink); !errors.Is(err, errSink) {
		t.Errorf("a failed close: %v", err)
	}
}

func TestASnapshotShowsItsMomentWhateverIsAppliedMeanwhile(t *testing.T) {
	t.Parallel()
	f := New(Config{})
	index := uint64(2)
	add := func(n int) {
		for range n {
			apply(t, f, index, structs.NodeRegisterMsg, registration(int(index), 2))
			index++
		}
	}
	add(200)
	snap, err := f.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	want := persist(t, f)
	var wg sync.WaitGroup
	sink := &memorySink{}
	wg.Go(func() {
		if err := snap.Persist(sink); err != nil {
			t.Error(err)
		}
	})
	add(200)
	apply(t, f, index, structs.NodeDeregisterMsg, &structs.NodeDeregisterRequest{NodeID: uuid(2)})
	wg.Wait()
	if !bytes.Equal(want, sink.Bytes()) {
		t.Error("later commands show in the snapshot")
	}
}

// loadedSource is a source whose state has been read before. Reading it is a mistake.
type loadedSource struct {
	*Loaded
	closed bool
}

func (s *loadedSource) TakeLoaded() *Loaded {
	l := s.Loaded
	s.Loaded = nil
	return l
}

func (s *loadedSource) Read([]byte) (int, error) { return 0, errors.New("read although it is loaded") }

func (s *loadedSource) Close() error {
	s.closed = true
	return nil
}

// counting wraps a source as Raft does.
type counting struct{ io.ReadCloser }

func (c counting) WrappedReadCloser() io.ReadCloser { return c.ReadCloser }

func TestAStateThatIsLoadedIsNotReadAgain(t *testing.T) {
	loaded, err := Load(bytes.NewReader(everything(t)))
	if err != nil {
		t.Fatal(err)
	}
	var reports []RestoreReport
	f := New(Config{OnRestore: func(r RestoreReport) { reports = append(reports, r) }})
	before := f.State()
	src := &loadedSource{Loaded: loaded}
	if err := f.Restore(counting{counting{src}}); err != nil {
		t.Fatal(err)
	}
	if !src.closed || f.State() != loaded.State || len(reports) != 1 || f.LastRestore() != loaded.Report {
		t.Errorf("closed %v, reports %v", src.closed, reports)
	}
	select {
	case <-before.AbandonCh():
	default:
		t.Error("who waits for the old state was not woken")
	}
	if err := f.Restore(counting{src}); err == nil || !strings.Contains(err.Error(), "read although") {
		t.Errorf("a state that was taken is taken again: %v", err)
	}
}

func TestALoaderNamesTheFirstRecordThatIsWrong(t *testing.T) {
	bad := &structs.NodePool{Name: "edge", NodeIdentityTTL: -time.Second}
	stream := streamOf(t,
		record{structs.NodePoolRecord, bad},                  // decodes, but can't be loaded
		record{structs.NodeRecord, []byte("\x81\xa2ID\x01")}, // can't even be decoded
	)
	_, err := Load(bytes.NewReader(stream))
	if err == nil || !strings.Contains(err.Error(), "edge") {
		t.Errorf("error %v, want that of the first record", err)
	}
}

func TestAnAbortedLoaderLeavesNothingBehind(t *testing.T) {
	l := NewLoader()
	in := snapshot.NewReader(bytes.NewReader(everything(t)))
	for range 3 {
		rec, err := in.Next()
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Record(rec); err != nil {
			t.Fatal(err)
		}
	}
	l.Abort()
	l.Abort()
}
