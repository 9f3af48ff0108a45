package boltread

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"
)

const wait = 200 * time.Millisecond

func key(i uint64) []byte { return binary.BigEndian.AppendUint64(nil, i) }

// makeFile writes a file with a bucket "logs" of so many keys with values of so many bytes.
func makeFile(tb testing.TB, keys, size int) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "raft.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true})
	if err != nil {
		tb.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("logs"))
		if err != nil {
			return err
		}
		if _, err := tx.CreateBucket([]byte("conf")); err != nil {
			return err
		}
		for i := range keys {
			if err := b.Put(key(uint64(i)), []byte(strings.Repeat("v", size))); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		tb.Fatal(err)
	}
	return path
}

func open(tb testing.TB, path string) *File {
	tb.Helper()
	f, err := Open(path, wait)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = f.Close() })
	return f
}

// read returns the keys from one on, and what was damaged.
func read(tb testing.TB, f *File, from []byte) (keys []uint64, damage []error, err error) {
	tb.Helper()
	b, err := f.Bucket("logs")
	if err != nil {
		return nil, nil, err
	}
	err = b.Walk(from, func(k, _ []byte) error {
		keys = append(keys, binary.BigEndian.Uint64(k))
		return nil
	}, func(err error) error {
		damage = append(damage, err)
		return nil
	})
	return keys, damage, err
}

func TestReadsWhatTheLibraryWrote(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		path := filepath.Join(t.TempDir(), fmt.Sprintf("%d.db", time.Now().UnixNano()))
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true, NoGrowSync: true})
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = os.Remove(path) }()
		steps := rapid.IntRange(1, 6).Draw(rt, "commits")
		for range steps {
			err := db.Update(func(tx *bbolt.Tx) error {
				for _, name := range []string{"conf", "logs"} {
					b, err := tx.CreateBucketIfNotExists([]byte(name))
					if err != nil {
						return err
					}
					for range rapid.IntRange(0, 60).Draw(rt, "keys") {
						k := key(rapid.Uint64Range(0, 300).Draw(rt, "key"))
						if rapid.IntRange(0, 3).Draw(rt, "delete") == 0 {
							if err := b.Delete(k); err != nil {
								return err
							}
							continue
						}
						v := make([]byte, rapid.SampledFrom([]int{0, 1, 100, 5000, 20000}).Draw(rt, "size"))
						if err := b.Put(k, v); err != nil {
							return err
						}
					}
				}
				return nil
			})
			if err != nil {
				rt.Fatal(err)
			}
		}
		type pair struct {
			Key  uint64
			Size int
		}
		from := key(rapid.Uint64Range(0, 320).Draw(rt, "from"))
		want, got := map[string][]pair{}, map[string][]pair{}
		_ = db.View(func(tx *bbolt.Tx) error {
			for _, name := range []string{"conf", "logs"} {
				c := tx.Bucket([]byte(name)).Cursor()
				for k, v := c.Seek(from); k != nil; k, v = c.Next() {
					want[name] = append(want[name], pair{binary.BigEndian.Uint64(k), len(v)})
				}
			}
			return nil
		})
		if err := db.Close(); err != nil {
			rt.Fatal(err)
		}
		f, err := Open(path, wait)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		if f.Size() < f.Extent() {
			rt.Fatalf("a whole file of %d bytes is said to need %d", f.Size(), f.Extent())
		}
		for _, name := range []string{"conf", "logs"} {
			b, err := f.Bucket(name)
			if err != nil {
				rt.Fatal(err)
			}
			err = b.Walk(from, func(k, v []byte) error {
				got[name] = append(got[name], pair{binary.BigEndian.Uint64(k), len(v)})
				return nil
			}, nil)
			if err != nil {
				rt.Fatal(err)
			}
			last, err := b.Last()
			if err != nil {
				rt.Fatal(err)
			}
			if n := len(got[name]); n > 0 && string(last) != string(key(got[name][n-1].Key)) {
				rt.Fatalf("last key of %s is %x, want %d", name, last, got[name][n-1].Key)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("-library +ours:\n%s", diff)
		}
	})
}

func TestAFileHeldByAWriterIsRefused(t *testing.T) {
	t.Parallel()
	path := makeFile(t, 3, 10)
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, wait); !errors.Is(err, ErrLocked) {
		t.Errorf("error %v, want ErrLocked", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	first, second := open(t, path), open(t, path) // readers don't mind each other
	for _, f := range []*File{first, second} {
		if keys, _, err := read(t, f, nil); err != nil || len(keys) != 3 {
			t.Errorf("keys %v, %v", keys, err)
		}
	}
}

func TestForeignFilesAreRefused(t *testing.T) {
	t.Parallel()
	for name, content := range map[string][]byte{
		"empty": nil, "text": []byte("hello"), "zeros": make([]byte, 64<<10), "long text": []byte(strings.Repeat("hello ", 20000)),
	} {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, wait); !errors.Is(err, ErrNotBolt) {
			t.Errorf("%s: error %v, want ErrNotBolt", name, err)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != string(content) {
			t.Errorf("%s: the file was changed", name)
		}
	}
	if _, err := Open(t.TempDir(), wait); !errors.Is(err, ErrNotBolt) {
		t.Errorf("folder: error %v, want ErrNotBolt", err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none"), wait); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: error %v", err)
	}
	if _, err := open(t, makeFile(t, 1, 1)).Bucket("other"); !errors.Is(err, ErrNoBucket) {
		t.Errorf("missing bucket: error %v, want ErrNoBucket", err)
	}
}

// TestAFileCutAnywhereGivesWhatIsLeft cuts at every page: what is read is a part of what was there, and what isn't is
// said to be damaged.
func TestAFileCutAnywhereGivesWhatIsLeft(t *testing.T) {
	t.Parallel()
	path := makeFile(t, 300, 900)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page, best := os.Getpagesize(), 0
	for cut := page / 2; cut < len(whole); cut += page {
		short := filepath.Join(t.TempDir(), "raft.db")
		if err := os.WriteFile(short, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := Open(short, wait)
		if err != nil {
			if cut > 2*page || !errors.Is(err, ErrNotBolt) {
				t.Errorf("cut at %d: %v", cut, err)
			}
			continue
		}
		torn := f.Size() < f.Extent()
		keys, damage, err := read(t, f, nil)
		if torn && len(keys) < 300 && len(damage) == 0 && err == nil {
			t.Errorf("cut at %d: %d keys and no damage", cut, len(keys))
		}
		if !torn && len(keys) != 300 {
			t.Errorf("cut at %d, behind the last page: %d keys, %v", cut, len(keys), err)
		}
		if torn && len(keys) > best {
			best = len(keys)
		}
		_ = f.Close()
	}
	if best == 0 {
		t.Error("no cut file gave any of its keys")
	}
}

func TestAPageOverwrittenCostsOnlyItsKeys(t *testing.T) {
	t.Parallel()
	path := makeFile(t, 300, 900)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	for i := 2; i*page < len(b); i++ {
		if b[i*page+8] == leafPage && b[i*page+10] > 1 { // a leaf of the log
			copy(b[i*page:(i+1)*page], make([]byte, page))
			break
		}
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	keys, damage, err := read(t, open(t, path), nil)
	var at *PageError
	if err != nil || len(damage) != 1 || !errors.As(damage[0], &at) || at.Page < 2 || at.Offset != int64(at.Page)*int64(page) {
		t.Errorf("damage %v, %v", damage, err)
	}
	if len(keys) >= 300 || len(keys) < 280 {
		t.Errorf("%d keys left", len(keys))
	}
}

// FuzzDamagedFile overwrites bytes anywhere in a file: it may be refused, but nothing may panic or hang, and keys come
// in order.
func FuzzDamagedFile(f *testing.F) {
	whole, err := os.ReadFile(makeFile(f, 120, 300))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(8), []byte{0})
	f.Add(uint32(3*os.Getpagesize()+8), []byte{1, 0, 255, 255})
	f.Add(uint32(3*os.Getpagesize()+16), []byte{255, 255, 255, 255, 255, 255, 255, 255})
	f.Add(uint32(len(whole)-1), []byte{})
	f.Fuzz(func(t *testing.T, offset uint32, with []byte) {
		b := append([]byte(nil), whole...)
		at := int(offset) % len(b)
		if len(with) == 0 {
			b = b[:at]
		} else {
			copy(b[at:], with)
		}
		path := filepath.Join(t.TempDir(), "raft.db")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := Open(path, wait)
		if err != nil {
			return
		}
		defer func() { _ = file.Close() }()
		bucket, err := file.Bucket("logs")
		if err != nil {
			return
		}
		_, _ = bucket.Last()
		last := ""
		_ = bucket.Walk(nil, func(k, _ []byte) error {
			if last != "" && string(k) <= last {
				t.Fatalf("key %x after %x", k, last)
			}
			last = string(k)
			return nil
		}, func(error) error { return nil })
	})
}
