package state

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-id/rollcall/structs"
)

var stringMapType = reflect.TypeFor[structs.StringMap]()

// fillValue sets everything that can be reached to something that is not zero, and different each time.
func fillValue(v reflect.Value, next *int) {
	*next++
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillValue(v.Elem(), next)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(int64(*next), 7).UTC()))
			return
		}
		if v.Type() == stringMapType {
			v.Set(reflect.ValueOf(structs.NewStringMap(map[string]string{"key0": fmt.Sprint("value", *next), "key1": fmt.Sprint("value", *next+1)})))
			return
		}
		for i := range v.NumField() {
			fillValue(v.Field(i), next)
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[structs.Raw]() {
			v.Set(reflect.ValueOf(structs.Raw{0xcd, byte(*next >> 8), byte(*next)}))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fillValue(v.Index(i), next)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for i := range 2 {
			v.SetMapIndex(reflect.ValueOf(fmt.Sprint("key", i)), reflect.ValueOf(fmt.Sprint("value", *next+i)))
		}
	case reflect.String:
		v.SetString(fmt.Sprint("s", *next))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(int64(*next))
	case reflect.Uint8:
		v.SetUint(uint64(*next % 100))
	case reflect.Uint64:
		v.SetUint(uint64(*next))
	default:
		panic("no rule to fill a " + v.Type().String())
	}
}

// change calls visit once for each way to make v a little different, with v changed. Afterwards v is as it was.
func change(path string, v reflect.Value, visit func(path string)) {
	was := reflect.New(v.Type()).Elem()
	was.Set(v)
	try := func(how string, changed any) {
		if m, ok := changed.(map[string]string); ok && v.Type() == stringMapType {
			changed = structs.NewStringMap(m)
		}
		v.Set(reflect.ValueOf(changed).Convert(v.Type()))
		visit(path + how)
		v.Set(was)
	}
	switch v.Kind() {
	case reflect.Pointer:
		try(" missing", reflect.Zero(v.Type()).Interface())
		change(path, v.Elem(), visit)
	case reflect.Struct:
		if at, ok := v.Interface().(time.Time); ok {
			try(" a second later", at.Add(time.Second))
			try(" a nanosecond later", at.Add(1))
			return
		}
		if m, ok := v.Interface().(structs.StringMap); ok {
			changeMap(m.Map(), try)
			return
		}
		for i := range v.NumField() {
			change(path+"."+v.Type().Field(i).Name, v.Field(i), visit)
		}
	case reflect.Slice:
		try(" shorter", v.Slice(0, v.Len()-1).Interface())
		try(" empty", v.Slice(0, 0).Interface())
		swapped := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			swapped.Index(i).Set(v.Index(v.Len() - 1 - i))
		}
		try(" reversed", swapped.Interface())
		for i := range v.Len() {
			change(fmt.Sprintf("%s[%d]", path, i), v.Index(i), visit)
		}
	case reflect.Map:
		m := v.Convert(reflect.TypeFor[map[string]string]()).Interface().(map[string]string)
		changeMap(m, try)
	case reflect.String:
		try(" longer", v.String()+"x")
		try(" empty", "")
	case reflect.Bool:
		try(" false", false)
	case reflect.Int, reflect.Int32, reflect.Int64:
		try(" larger", v.Int()+1)
		try(" negative", -v.Int())
	case reflect.Uint8, reflect.Uint64:
		try(" larger", v.Uint()+100)
	}
}

func changeMap(m map[string]string, try func(how string, changed any)) {
	a, b := m["key0"], m["key1"]
	try(" with one entry", map[string]string{"key0": a})
	try(" empty", map[string]string{})
	try(" with another key", map[string]string{"key0": a, "key2": b})
	try(" with another value", map[string]string{"key0": a, "key1": "other"})
	try(" with values swapped", map[string]string{"key0": b, "key1": a})
	try(" cut elsewhere", map[string]string{"key0": a, "key1" + b[:1]: b[1:]})
	try(" with one more", map[string]string{"key0": a, "key1": b, "key2": ""})
}

// records are the kinds of records that a state has, each with how it is hashed.
func eachRecord(f func(name string, record reflect.Value, hash func(*hasher) digestSum)) {
	add := func(v any, hash func(*hasher) digestSum) {
		r := reflect.ValueOf(v).Elem()
		f(r.Type().Name(), r, hash)
	}
	var (
		node   structs.Node
		opaque structs.OpaqueRecord
		index  structs.IndexEntry
	)
	add(&node, func(h *hasher) digestSum {
		c := nodeChange{now: newNodeRow(&node)}
		return c.sum(h)
	})
	add(&opaque, func(h *hasher) digestSum { return h.opaque(opaque, 0) })
	add(&index, func(h *hasher) digestSum { return h.record(&index) })
	for _, row := range []any{
		&structs.NodePool{}, &structs.RootKey{}, &structs.Namespace{}, &structs.KeyUse{}, &structs.ClusterMetadata{},
		&structs.AutopilotConfig{}, &structs.SchedulerConfiguration{}, &structs.FeatureGate{},
		&structs.ACLPolicy{}, &structs.ACLToken{}, &structs.ACLRole{}, &structs.OneTimeToken{},
	} {
		add(row, func(h *hasher) digestSum { return h.record(row) })
	}
}

func TestEveryFieldShowsInTheDigest(t *testing.T) {
	lanes := [2]map[uint64]string{{}, {}}
	total := 0
	eachRecord(func(name string, v reflect.Value, hash func(*hasher) digestSum) {
		var h hasher
		see := func(path string) {
			total++
			sum := hash(&h)
			for lane, seen := range lanes {
				if other, ok := seen[sum[lane]]; ok {
					t.Errorf("lane %d does not tell %s from %s", lane, path, other)
				}
				seen[sum[lane]] = path
			}
		}
		see(name + " without anything")
		next := 0
		fillValue(v, &next)
		see(name)
		change(name, v, see)
	})
	if total < 500 {
		t.Errorf("only %d variants were tried", total)
	}
}

// TestEveryTableIsInTheDigest: a table that nobody has thought of would be one in which servers may differ.
func TestEveryTableIsInTheDigest(t *testing.T) {
	covered := map[string]bool{
		TableNodes: true, tableOpaque: true, // in ways of their own
		tableNodesBySecret: true, tableNodesByKey: true, tableNodesByPool: true, // follow from the nodes
		tableBase: true, // left out on purpose
	}
	for _, table := range digestedTables {
		covered[table] = true
	}
	for table := range schema().Tables {
		if !covered[table] {
			t.Errorf("table %s is not in the digest", table)
		}
	}
}

// TestNilAndEmptyAreTheSameToTheDigest: so that it doesn't depend on who made a value, or on what it was read from.
func TestNilAndEmptyAreTheSameToTheDigest(t *testing.T) {
	var empty func(v reflect.Value)
	tried := 0
	empty = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 0, 1))
			if v.Type() == reflect.TypeFor[structs.Raw]() && tried%2 == 0 {
				v.Set(reflect.ValueOf(structs.Raw{0xc0}))
			}
			tried++
		case reflect.Map:
			v.Set(reflect.MakeMap(v.Type()))
			tried++
		case reflect.Struct:
			if v.Type() == stringMapType {
				v.Set(reflect.ValueOf(structs.NewStringMap(map[string]string{})))
				tried++
				return
			}
			for i := range v.NumField() {
				if v.Type() != reflect.TypeFor[time.Time]() {
					empty(v.Field(i))
				}
			}
		}
	}
	eachRecord(func(name string, v reflect.Value, hash func(*hasher) digestSum) {
		if name == "OpaqueRecord" {
			return // kept byte for byte
		}
		var h hasher
		before := hash(&h)
		empty(v)
		if hash(&h) != before {
			t.Errorf("%s with empty maps and slices has another digest", name)
		}
	})
	if tried < 20 {
		t.Errorf("only %d fields were tried", tried)
	}
}

// TestAFullNodeKeepsItsDigestWhenItIsReadBack: what survives the encoding has the digest that it had.
func TestAFullNodeKeepsItsDigestWhenItIsReadBack(t *testing.T) {
	for name, zone := range map[string]*time.Location{
		"UTC": time.UTC, "offset 0": time.FixedZone("", 0), "Nepal": time.FixedZone("nepal", 5*3600+45*60),
		"west, with seconds": time.FixedZone("", -4*3600-56*60-2), "here": time.FixedZone(time.Unix(1, 0).Zone()),
	} {
		n, next := &structs.Node{}, 0
		fillValue(reflect.ValueOf(n).Elem(), &next)
		n.Events[0].Timestamp = time.Unix(1_700_000_000, 123_456_789).In(zone)
		n.DrainStrategy.ForceDeadline, n.LastDrain.UpdatedAt = time.Time{}, time.Unix(1_700_000_000, 0).In(zone)
		n.Links, n.Meta, n.Drivers, n.HostNetworks = structs.StringMap{}, structs.NewStringMap(map[string]string{}), structs.Raw{}, structs.Raw{0xc0}
		var h hasher
		before, after := nodeChange{now: newNodeRow(n)}, nodeChange{now: newNodeRow(reread(t, n))}
		if before.sum(&h) != after.sum(&h) {
			t.Errorf("%s: the node has another digest once it is read back", name)
		}
	}
}

// TestDigestIsPinned: digests are compared between servers, which may be of different versions, and are in the logs of
// all of them. Whoever changes what they are made of changes DigestVersion, too, and then this.
func TestDigestIsPinned(t *testing.T) {
	s := New()
	must(t, s, putKey(2, newKey(1, structs.KeyStateActive)), register(3, newNode(1)),
		status(4, nodeID(1), structs.NodeStatusReady), putPool(5, &structs.NodePool{Name: "edge", Meta: map[string]string{"a": "b", "c": "d"}}),
		func(t *Txn) error { return t.NoteKeyUse(6, structs.KeyUse{KeyID: keyID(1), User: "variable"}) })
	const version, want = 1, "7241e6e7e6177904ffc210070919f3c1f1fbee94a9abc303aae8a050b771e262"
	if d := digest(t, s); hex.EncodeToString(d[:]) != want || DigestVersion != version {
		t.Errorf("version %d: %x", DigestVersion, d)
	}
}

func TestADigestThatIsAskedForLaterIsOfThenNotOfNow(t *testing.T) {
	s := New()
	must(t, s, register(2, newNode(1)))
	txn := s.WriteTxn()
	if err := register(3, newNode(2))(txn); err != nil {
		t.Fatal(err)
	}
	then := txn.Digest()
	if err := register(4, newNode(3))(txn); err != nil {
		t.Fatal(err)
	}
	txn.Abort()
	must(t, s, register(3, newNode(2)))
	if d := digest(t, s); then() != d {
		t.Errorf("after the second command: %x, want %x", then(), d)
	}
	must(t, s, func(t *Txn) error { return t.DeleteNodes(9, []string{nodeID(1)}) })
	if d := digest(t, s); then() == d {
		t.Error("the digest of then follows what happens now")
	}
}

// TestDigestOfABatchIsThatOfItsCommands drives random commands into two states, one with a transaction for each and
// one with shared transactions, some of which are tried and aborted first, and compares the digests at every command.
func TestDigestOfABatchIsThatOfItsCommands(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		single, batched, m := New(), New(), newModel()
		index := uint64(1)
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			txn := batched.WriteTxn()
			var retry []func(*Txn) error
			var later []func() [32]byte
			var want [][32]byte
			for range rapid.SampledFrom([]int{1, 3, 8}).Draw(t, "batch") {
				index++
				c := drawCommand(t, m)
				at := index
				run := func(t *Txn) error { return c.run(t, at) }
				retry = append(retry, run)
				if (apply(single, run) == nil) != (run(txn) == nil) {
					t.Fatalf("%s does not have the same result in a batch", c.name)
				}
				c.model(index)
				later, want = append(later, txn.Digest()), append(want, digest(t, single))
			}
			if rapid.Bool().Draw(t, "again") {
				before := digest(t, batched)
				txn.Abort()
				if digest(t, batched) != before {
					t.Fatal("an aborted transaction shows in the digest")
				}
				txn = batched.WriteTxn()
				for _, run := range retry {
					_ = run(txn) // it was compared above
				}
			}
			txn.Commit()
			for i, d := range later {
				if d() != want[i] {
					t.Fatalf("after command %d of the batch the digest is %x, want %x", i, d(), want[i])
				}
			}
			if digest(t, batched) != digest(t, single) {
				t.Fatal("batch and single commands end in different digests")
			}
		}
		checkRestored(t, batched)
	})
}

// TestManyChangesAreFolded writes more nodes than wait to be hashed, from several commits, while digests are read.
func TestManyChangesAreFolded(t *testing.T) {
	s := New()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			snap := s.Snapshot()
			d, _ := snap.Digest()
			if again, err := snap.RecomputeDigest(); err != nil || again != d {
				t.Errorf("a snapshot's digest is %x, computed anew it is %x, %v", d, again, err)
				return
			}
		}
	}()
	for i := range 30 {
		txn := s.WriteTxn()
		for j := range 150 {
			if err := register(uint64(2+i), newNode(j*7))(txn); err != nil {
				t.Fatal(err)
			}
		}
		txn.Commit()
	}
	close(stop)
	<-done
	digest(t, s)
	s.commit.Lock()
	waiting := len(s.digested.changes)
	s.commit.Unlock()
	if waiting >= 30*150 {
		t.Errorf("%d changes wait: none was folded", waiting)
	}
}
