package docs_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/httpapi"
	"github.com/rollcall-id/rollcall/internal/doctable"
	"github.com/rollcall-id/rollcall/rpc"
)

// nobody answers every RPC with nothing.
type nobody struct{}

func (nobody) RPC(context.Context, string, any, any) error { return nil }

func (nobody) Stream(context.Context, string) (net.Conn, error) {
	return nil, errors.New("nobody is there")
}

func newAPI(t *testing.T) http.Handler {
	t.Helper()
	api, err := httpapi.New(httpapi.Config{Region: "global"}, nobody{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// parameter is a part of a route's path that stands for anything.
var parameter = regexp.MustCompile(`\{[a-z]+\}`)

// ask sends the request that a row of the table names, with a body that no route can make anything of.
func ask(t *testing.T, api http.Handler, route string) *httptest.ResponseRecorder {
	t.Helper()
	method, path, _ := strings.Cut(route, " ")
	w := httptest.NewRecorder()
	api.ServeHTTP(w, httptest.NewRequest(method, parameter.ReplaceAllString(path, "some"), strings.NewReader("{")))
	return w
}

func TestTheCompatibilityTableHasEveryRoute(t *testing.T) {
	rows := doctable.Read(t, "compatibility.md", "## HTTP")
	var code []string
	for _, r := range httpapi.Routes() {
		code = append(code, r.Method+" "+r.Pattern)
	}
	doctable.Compare(t, rows, code, 90)
	api := newAPI(t)
	absent := 0
	for route, row := range rows {
		w := ask(t, api, route)
		text := w.Body.String()
		says := w.Code == http.StatusNotImplemented && text != "" && !strings.Contains(text, "\n") && strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain")
		switch {
		case row.State != doctable.NotHere:
			if w.Code == http.StatusNotImplemented && !strings.HasPrefix(text, "this agent ") { // which has neither a server nor a node
				t.Errorf("%s is %q and answers 501 %s", route, row.State, text)
			}
		case !says:
			t.Errorf("%s is not here and answers %d %q, want 501 and a line that says so", route, w.Code, text)
		default:
			absent++
		}
	}
	if absent < 50 {
		t.Errorf("%d routes are not here", absent)
	}
}

// notMethods are words of the facts that look like methods.
var notMethods = []string{"Node.ID", "Node.Name", "Node.NodePool"}

func TestTheCompatibilityTableHasEveryMethod(t *testing.T) {
	rows := doctable.Read(t, "compatibility.md", "## RPC")
	server := rpc.New(rpc.DefaultConfig("global"), rpc.Deps{Logger: hclog.NewNullLogger()})
	methods := server.Methods()
	var code []string
	for name := range methods {
		code = append(code, name)
	}
	doctable.Compare(t, rows, code, 80)
	for name, row := range rows {
		if row.State != doctable.NotHere {
			continue
		}
		if err := server.RPC(t.Context(), name, &struct{}{}, nil); err == nil || !strings.Contains(err.Error(), "rpc: can't find ") {
			t.Errorf("%s is not here and answers %v", name, err)
		}
	}
}

var (
	wireRoute  = regexp.MustCompile("/(?:v1|\\.well-known)/[^`?\\s|(…]*")
	wireMethod = regexp.MustCompile(`\b(?:Node|NodePool|NodeIdentity|NodeMeta|ClientStats|Alloc|Allocations|FileSystem|Status|Region|Keyring|ACL|Operator|System|Agent|Event)\.[A-Z][A-Za-z]+\b`)
	segment    = regexp.MustCompile(`\{[^}]*\}|:[a-z]+`)
)

// What the facts name, the table has: a route or a method that was never built has a row that says so.
func TestTheCompatibilityTableHasWhatTheFactsName(t *testing.T) {
	facts := read(t, "wire.md")
	_, section, _ := strings.Cut(facts, "\n## 5. HTTP API\n")
	section, _, _ = strings.Cut(section, "\n## 6. ")
	paths := map[string]bool{}
	for route := range doctable.Read(t, "compatibility.md", "## HTTP") {
		_, path, _ := strings.Cut(route, " ")
		paths[segment.ReplaceAllString(path, "*")] = true
	}
	named := 0
	for _, path := range wireRoute.FindAllString(section, -1) {
		for _, p := range spread(path) {
			if strings.HasSuffix(p, "/") { // a part of a path
				continue
			}
			if named++; !paths[segment.ReplaceAllString(p, "*")] {
				t.Errorf("wire.md names %s, and the table of routes does not", p)
			}
		}
	}
	rows := doctable.Read(t, "compatibility.md", "## RPC")
	for _, name := range wireMethod.FindAllString(facts, -1) {
		if slices.Contains(notMethods, name) {
			continue
		}
		if named++; rows[name] == (doctable.Row{}) {
			t.Errorf("wire.md names %s, and the table of methods does not", name)
		}
	}
	if named < 150 {
		t.Errorf("found %d routes and methods in wire.md", named)
	}
}

// spread gives the paths that one with alternatives in braces stands for.
func spread(path string) []string {
	before, rest, ok := strings.Cut(path, "{")
	choice, after, ok2 := strings.Cut(rest, "}")
	if !ok || !ok2 {
		return []string{path}
	}
	var out []string
	for word := range strings.SplitSeq(choice, ",") {
		out = append(out, before+word+after)
	}
	return out
}
