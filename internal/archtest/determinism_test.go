package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// seeded type-checks one seeded file and returns the lines on which check finds
// something, next to the lines that carry the comment "BAD".
func seeded(t *testing.T, src string, check func(source) []string) (got, want []string) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "seed.go", src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var patterns []string
	for _, spec := range f.Imports {
		patterns = append(patterns, strings.Trim(spec.Path.Value, `"`))
	}
	imp, err := exports(root, fset, append(patterns, "unsafe")...) // go list needs a pattern
	if err != nil {
		t.Fatal(err)
	}
	s, err := typeCheck(fset, "seed", []*ast.File{f}, imp)
	if err != nil {
		t.Fatal(err)
	}
	return foundLines(check(s)), badLines(src)
}

// foundLines cuts findings of the form "seed.go:LINE:COLUMN: text" to the line.
func foundLines(problems []string) []string {
	var lines []string
	for _, p := range problems {
		lines = append(lines, strings.SplitN(p, ":", 3)[1])
	}
	return sortedSet(lines)
}

func badLines(src string) []string {
	var lines []string
	for i, l := range strings.Split(src, "\n") {
		if strings.Contains(l, "// BAD") {
			lines = append(lines, strconv.Itoa(i+1))
		}
	}
	return sortedSet(lines)
}

func sortedSet(lines []string) []string {
	slices.Sort(lines)
	return slices.Compact(lines)
}

func TestDeterminismCatches(t *testing.T) {
	for _, tc := range []struct{ name, src string }{
		{"clock readings under any name, as calls and as values", `package seed
import (
	"time"
	clock "time"
)
type stamp struct{ now func() time.Time }
var a = time.Now() // BAD
var b = clock.Since(a) // BAD
var c = stamp{now: time.Now} // BAD
var d = time.After(time.Second) // BAD
func f(t time.Time) time.Time { return t.Add(time.Hour).Truncate(time.Minute) }
`},
		{"dot imports", `package seed
import . "time"
var a = Now() // BAD
`},
		{"local names that only look like it", `package seed
type clock struct{}
func (clock) Now() int { return 0 }
func f() int { var time clock; return time.Now() }
`},
		{"timers, and contexts that hold one", `package seed
import (
	"context"
	"time"
)
func f(ctx context.Context) {
	time.Sleep(1) // BAD
	_ = time.NewTimer(1) // BAD
	_, cancel := context.WithTimeout(ctx, 1) // BAD
	cancel()
	_, cancel = context.WithCancel(ctx)
	cancel()
}
`},
		{"the machine's time zone", `package seed
import "time"
func f(t time.Time) {
	_ = t.Local() // BAD
	_ = t.In(time.Local) // BAD
	_ = time.Unix(1, 0) // BAD
	_ = time.UnixMilli(1).Format(time.RFC3339) // BAD
	_ = time.Unix(1, 0).UTC()
	_ = t.Sub(time.Unix(1, 0)) // BAD
	_ = time.Unix(1, 0).Before(t)
	_ = t.UTC()
}
`},
		{"randomness, environment, files and sockets by import", `package seed
import (
	_ "crypto/rand" // BAD
	_ "math/rand" // BAD
	_ "math/rand/v2" // BAD
	_ "os" // BAD
	_ "os/exec" // BAD
	_ "io/ioutil" // BAD
	_ "hash/maphash" // BAD
	_ "net/http" // BAD
	_ "log" // BAD
	_ "syscall" // BAD
	_ "crypto/sha256"
	_ "io"
	_ "net/netip"
)
`},
		{"constants of a package that does I/O, and more of it", `package seed
import (
	"net/http"
	"os" // BAD
)
const notFound = http.StatusNotFound
func f() (int, *os.File) { return os.O_RDONLY, os.Stdin }
`},
		{"sockets and resolvers of net, not its parsers", `package seed
import "net"
func f(ip net.IP) (string, error) {
	_, _ = net.Dial("tcp", "127.0.0.1:1") // BAD
	_, _ = net.LookupHost("localhost") // BAD
	_, _ = net.Interfaces() // BAD
	_ = net.ParseIP("127.0.0.1").Equal(ip)
	host, _, err := net.SplitHostPort("127.0.0.1:1")
	return host, err
}
`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, want := seeded(t, tc.src, checkDeterminism)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("lines with findings, -want +got:\n%s", diff)
			}
		})
	}
}

func TestMapOrderCatches(t *testing.T) {
	for _, tc := range []struct{ name, src string }{
		{"collecting without a sort", `package seed
func f(m map[string]int) (keys []string) {
	for k := range m { // BAD
		keys = append(keys, k)
	}
	return keys
}
`},
		{"collecting with a sort after it", `package seed
import "slices"
func f(m map[string]int) []string {
	keys := make([]string, 0, len(m))
	for k, v := range m {
		if v == 0 {
			continue
		}
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
`},
		{"a sort of something else, or before the loop", `package seed
import "sort"
func f(m map[string]int, other []string) (keys []string) {
	sort.Strings(keys)
	for k := range m { // BAD
		keys = append(keys, k)
	}
	sort.Strings(other)
	return keys
}
`},
		{"which of several is met first", `package seed
import "fmt"
func f(m map[string]int) (string, error) {
	for k, v := range m { // BAD
		if v < 0 {
			return "", fmt.Errorf("%s is negative", k)
		}
	}
	for k := range m { // BAD
		return k, nil
	}
	return "", nil
}
`},
		{"one constant answer", `package seed
func f(m map[string]int) bool {
	for _, v := range m {
		if v < 0 {
			return false
		}
	}
	return true
}
`},
		{"two constant answers, a break, and an answer after a change", `package seed
func f(m map[string]int) bool {
	for _, v := range m { // BAD
		if v < 0 {
			return false
		}
		return true
	}
	n := 0
	for _, v := range m { // BAD
		if n += v; n > 9 {
			break
		}
	}
	for k, v := range m { // BAD
		if v < 0 {
			return false
		}
		delete(m, k)
	}
	return n > 0
}
`},
		{"last one wins", `package seed
func f(m map[string]int) (last int, inverse map[int]string) {
	inverse = map[int]string{}
	for _, v := range m { // BAD
		last = v
	}
	for k, v := range m { // BAD
		inverse[v] = k
	}
	return last, inverse
}
`},
		{"copies, deletions and integer sums by key", `package seed
type entry struct{ n int; tags []string }
func f(m map[string]*entry) (map[string]*entry, int) {
	out, sum := make(map[string]*entry, len(m)), 0
	for k, v := range m {
		if v.n == 0 {
			delete(m, k)
			continue
		}
		e := *v
		e.n++
		tags := []string{}
		for _, t := range v.tags {
			tags = append(tags, t)
		}
		e.tags = tags
		out[k] = &e
		sum += e.n
	}
	return out, sum
}
`},
		{"sums that round or concatenate", `package seed
func f(m map[string]float64) (sum float64, all string) {
	for _, v := range m { // BAD
		sum += v
	}
	for k := range m { // BAD
		all += k
	}
	return sum, all
}
`},
		{"calls, sends and a defined map type", `package seed
type set map[string]bool
func f(m set, out chan string, use func(string)) {
	for k := range m { // BAD
		use(k)
	}
	for k := range m { // BAD
		out <- k
	}
	for _, v := range []string{"a"} {
		use(v)
	}
}
`},
		{"iterators of package maps", `package seed
import (
	"maps"
	"slices"
)
func f(m map[string]int) []string {
	_ = slices.Collect(maps.Keys(m)) // BAD
	for range maps.Values(m) { // BAD
	}
	_ = maps.Collect(maps.All(m))
	return slices.Sorted(maps.Keys(m))
}
`},
		{"a comment with a reason, and one without", `package seed
func f(m map[string]int, use func(string)) {
	// map order: use only sets a flag
	for k := range m {
		use(k)
	}
	for k := range m { // map order: use only sets a flag
		use(k)
	}
	// map order:
	for k := range m { // BAD
		use(k)
	}
}
`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, want := seeded(t, tc.src, checkMapOrder)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("lines with findings, -want +got:\n%s", diff)
			}
		})
	}
}
