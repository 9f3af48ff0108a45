package archtest

import (
	"go/parser"
	"go/token"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSleepCatches(t *testing.T) {
	for _, tc := range []struct{ name, src string }{
		{"a sleep in a test, a helper and a closure", `package seed
import (
	"testing"
	"time"
)
func TestA(t *testing.T) {
	time.Sleep(time.Second) // BAD
	t.Run("b", func(t *testing.T) {
		time.Sleep(1) // BAD
	})
}
func wait() { time.Sleep(1) } // BAD
`},
		{"another name for the package", `package seed
import (
	. "testing"
	clock "time"
)
func TestA(t *T) {
	clock.Sleep(1) // BAD
}
`},
		{"no name at all", `package seed
import . "time"
func wait() { Sleep(1) } // BAD
`},
		{"a sleep by another road", `package seed
import "time"
func wait(done chan struct{}) {
	<-time.After(1) // BAD
	select {
	case <-done:
	case <-time.After(time.Minute):
	}
	select {
	case <-time.After(time.Minute): // BAD
	}
}
`},
		{"a fake clock", `package seed
import (
	"testing"
	"testing/synctest"
	"time"
)
func TestA(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour)
		go func() { time.Sleep(1) }()
	})
	time.Sleep(1) // BAD
}
func advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
func outside() {
	time.Sleep(1) // BAD
	_ = func() { synctest.Wait() }
}
`},
		{"a method of something else", `package seed
type bed struct{}
func (bed) Sleep(int) {}
func f(b bed) { b.Sleep(1) }
`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, "seed.go", tc.src, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(badLines(tc.src), foundLines(checkSleep(fset, f))); diff != "" {
				t.Errorf("lines with findings, -want +got:\n%s", diff)
			}
		})
	}
}
