package docs_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/httpapi"
	"github.com/rollcall-id/rollcall/rpc"
)

var update = flag.Bool("update", false, "rewrite the parts of the documents that are made from the code")

// What is between the two lines is made from the access tables of rpc and httpapi.
const (
	generated    = "<!-- Made from rpc/access_table.go, rpc/event_access.go and httpapi/routes.go: go test ./docs -run AccessTable -update -->\n"
	generatedEnd = "<!-- End of what is made from the code. -->\n"
)

// TestTheAccessTableIsInTheDocuments holds docs/acl.md to the tables by which servers decide.
func TestTheAccessTableIsInTheDocuments(t *testing.T) {
	text := read(t, "acl.md")
	before, rest, ok := strings.Cut(text, generated)
	_, after, ok2 := strings.Cut(rest, generatedEnd)
	if !ok || !ok2 {
		t.Fatal("acl.md has lost the lines between which the access table stands")
	}
	want := before + generated + accessTables() + generatedEnd + after
	if *update {
		if err := os.WriteFile("acl.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if text != want {
		t.Error("acl.md differs from the access tables; run: go test ./docs -run AccessTable -update, and look at the difference")
	}
}

func accessTables() string {
	methods := rpc.New(rpc.DefaultConfig("global"), rpc.Deps{Logger: hclog.NewNullLogger()}).Methods()
	var b strings.Builder
	b.WriteString("\n| RPC method | With ACLs | Without ACLs |\n|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(methods)) {
		a := methods[name]
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", name, a.WithACLs(), a.WithoutACLs())
	}
	b.WriteString("\n### Event topics\n\nWhat `Event.Stream` asks for. A caller must be good for every topic that it names; who asks for all topics gets those that it is\n" +
		"good for. It is asked again for every event, and whenever the token, its roles or its policies change.\n" +
		"\n| Topic | With ACLs | Without ACLs |\n|---|---|---|\n")
	for _, topic := range rpc.EventTopics() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", topic.Topic, topic.WithACLs, topic.WithoutACLs)
	}
	b.WriteString("\n### Routes\n\n| HTTP route | Who may use it, with ACLs |\n|---|---|\n")
	for _, r := range httpapi.Routes() {
		fmt.Fprintf(&b, "| `%s %s` | %s |\n", r.Method, r.Pattern, routeAccess(r))
	}
	b.WriteString("\n")
	return b.String()
}

func routeAccess(r httpapi.RouteAccess) string {
	var parts []string
	if r.Public {
		parts = append(parts, "anyone")
	}
	for _, m := range r.Methods {
		a, _ := rpc.AccessOf(m)
		parts = append(parts, fmt.Sprintf("as `%s`: %s", m, a.WithACLs()))
	}
	switch {
	case r.Needs != "" && len(r.Methods) > 0:
		parts = append(parts, fmt.Sprintf("where the agent answers by itself: `%s`", r.Needs))
	case r.Needs != "":
		parts = append(parts, fmt.Sprintf("`%s`", r.Needs))
	}
	return strings.Join(parts, "; ")
}
