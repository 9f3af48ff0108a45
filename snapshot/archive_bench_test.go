package snapshot

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"

	"github.com/rollcall-id/rollcall/structs"
)

// benchState writes the state of a fleet to a file, 44 attributes a node, half of them its own.
func benchState(b *testing.B, nodes int) (path string, size int64) {
	b.Helper()
	path = filepath.Join(b.TempDir(), "state.bin")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	buf := bufio.NewWriterSize(f, 1<<20)
	w := NewWriter(buf)
	for n := range nodes {
		node := testNode(n)
		for i := range 22 {
			node.Attributes = node.Attributes.With(fmt.Sprintf("platform.attribute.%d", i), "the same on every machine of its kind")
			node.Attributes = node.Attributes.With(fmt.Sprintf("unique.attribute.%d", i), fmt.Sprintf("value-%d-%d", n, i))
		}
		if err := w.WriteRecord(structs.NodeRecord, node); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := buf.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	return path, w.Size()
}

// measured runs f b.N times and reports by how much the process grew at most.
func measured(b *testing.B, size int64, f func()) {
	b.Helper()
	hwm := func() (kb int64) {
		status, err := os.Open("/proc/self/status")
		if err != nil {
			b.Skip(err)
		}
		defer func() { _ = status.Close() }()
		for s := bufio.NewScanner(status); s.Scan(); {
			if n, _ := fmt.Sscanf(s.Text(), "VmHWM: %d kB", &kb); n == 1 {
				return kb
			}
		}
		return 0
	}
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		b.Skip(err)
	}
	before := hwm()
	b.SetBytes(size)
	for b.Loop() {
		f()
	}
	b.ReportMetric(float64(hwm()-before)/1024, "MiB-grown")
}

func BenchmarkWriteArchive(b *testing.B) {
	for _, nodes := range []int{50_000} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			path, size := benchState(b, nodes)
			measured(b, size, func() {
				f, err := os.Open(path)
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = f.Close() }()
				written, err := Write(b.Context(), io.Discard, testMeta, From(f), WriteOptions{TempDir: b.TempDir()})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(size)/float64(written.Size), "ratio")
			})
		})
	}
}

func BenchmarkVerifyArchive(b *testing.B) {
	check := map[string]func(Record) error{"decode": nil, "frame": func(Record) error { return nil }}
	for _, nodes := range []int{50_000} {
		path, size := benchState(b, nodes)
		archive := filepath.Join(b.TempDir(), "a.snap")
		err := WriteFile(archive, func(f *os.File) error {
			state, err := os.Open(path)
			if err != nil {
				return err
			}
			defer func() { _ = state.Close() }()
			_, err = Write(b.Context(), f, testMeta, From(state), WriteOptions{})
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		for _, name := range []string{"decode", "frame"} {
			b.Run(fmt.Sprintf("nodes=%d/%s", nodes, name), func(b *testing.B) {
				measured(b, size, func() {
					v, err := VerifyFile(b.Context(), archive, VerifyOptions{TempDir: b.TempDir(), Record: check[name]})
					if err != nil {
						b.Fatal(err)
					}
					_ = v.Close()
				})
			})
		}
	}
}
