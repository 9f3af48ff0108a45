package progress

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// drawn makes a bar on a pretended terminal with a pretended clock.
func drawn(label string, total int64) (b *Bar, out *bytes.Buffer, tick func(time.Duration)) {
	out = &bytes.Buffer{}
	now := time.Unix(1000, 0)
	return newBar(out, label, total, func() time.Time { return now }), out, func(d time.Duration) { now = now.Add(d) }
}

func lines(out *bytes.Buffer) []string { return strings.Split(out.String(), clear)[1:] }

func TestABarShowsHowFarItIs(t *testing.T) {
	t.Parallel()
	b, out, tick := drawn("verify", 4000)
	b.Add(0)
	tick(2 * time.Second)
	b.Add(1000)
	tick(10 * time.Millisecond) // too soon to be drawn
	b.Add(500)
	tick(time.Second)
	b.Set("verify", 4000, 4000)
	tick(time.Second)
	b.Set("load", 20_500_000, 0)
	b.Done()
	b.Done()
	tick(time.Second)
	b.Add(1)
	want := []string{
		"verify [------------------------------]   0% 0/4.0k",
		"verify [#######-----------------------]  25% 1.0k/4.0k, 6s left",
		"verify [##############################] 100% 4.0k/4.0k",
		"load 20.5M",
		"",
	}
	if diff := cmp.Diff(want, lines(out)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestABarStaysInItsBounds(t *testing.T) {
	t.Parallel()
	b, out, tick := drawn("x", 10)
	b.Set("x", -5, 10)
	tick(time.Second)
	b.Set("x", 50, 10)
	want := []string{"x [------------------------------]   0% 0/10", "x [##############################] 100% 10/10"}
	if diff := cmp.Diff(want, lines(out)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestNothingIsDrawnWhereThereIsNoTerminal(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "err")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []*Bar{New(f, "a", 10), New(&buf, "a", 10), New(null, "a", 10), nil} {
		if b != nil && b.w != nil {
			t.Error("it would draw")
		}
		b.Add(5)
		b.Set("a", 6, 10)
		b.Done()
	}
	_ = f.Close()
	_ = null.Close()
	if b, err := os.ReadFile(path); err != nil || len(b) > 0 || buf.Len() > 0 {
		t.Errorf("drawn: %q, %q, %v", b, buf.String(), err)
	}
}

func TestABarMayBeUsedFromSeveralGoroutines(t *testing.T) {
	t.Parallel()
	b, out, _ := drawn("x", 1000)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for range 100 {
				b.Add(1)
			}
		})
	}
	wg.Wait()
	b.Done()
	if b.done != 1000 || !strings.HasSuffix(out.String(), clear) {
		t.Errorf("done %d", b.done)
	}
}

func TestAmountsAreShort(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1.0k", 999_400: "999.4k", 12_345_678: "12.3M", 5e9: "5.0G", 3e15: "3000.0T"} {
		if got := amount(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}
