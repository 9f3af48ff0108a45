package archtest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLadderCatches(t *testing.T) {
	rungs := []rung{
		{pkg: "structs"},
		{pkg: "state", may: []string{"structs"}},
		{pkg: "rpc/transport"},
		{pkg: "rpc", may: []string{"structs", "rpc/transport"}},
		{pkg: "e2e/...", may: []string{"structs", "e2e/..."}, blackBox: true},
	}
	ours := func(rel ...string) []string {
		paths := []string{"fmt", "github.com/hashicorp/raft"}
		for _, r := range rel {
			paths = append(paths, module+"/"+r)
		}
		return paths
	}
	for _, tc := range []struct {
		name string
		pkg  goPackage
		want []string
	}{
		{"imports from below and of others pass",
			goPackage{ImportPath: module + "/rpc", Imports: ours("structs", "rpc/transport", "internal/version")}, nil},
		{"an import from above fails",
			goPackage{ImportPath: module + "/state", Imports: ours("structs", "rpc")},
			[]string{"state imports rpc: the ladder lets state import [structs]"}},
		{"a folder does not stand for what is below it",
			goPackage{ImportPath: module + "/state", Imports: ours("structs/wire")},
			[]string{"state imports structs/wire: the ladder lets state import [structs]"}},
		{"structs imports not even helpers",
			goPackage{ImportPath: module + "/structs", Imports: ours("internal/version")},
			[]string{"structs imports internal/version: the ladder lets structs import []"}},
		{"a helper imports none of ours",
			goPackage{ImportPath: module + "/internal/clock", Imports: ours("structs", "internal/leak")},
			[]string{
				"internal/clock imports internal/leak: helpers below internal/ import none of ours",
				"internal/clock imports structs: helpers below internal/ import none of ours",
			}},
		{"a package without a line fails",
			goPackage{ImportPath: module + "/util"},
			[]string{"util: not in the ladder; give it a line in internal/archtest/ladder.go"}},
		{"code in the root folder fails",
			goPackage{ImportPath: module},
			[]string{module + ": no code belongs in the module's root folder"}},
		{"tests may look where code may not",
			goPackage{ImportPath: module + "/state", TestImports: ours("rpc"), XTestImports: ours("rpc")}, nil},
		{"but not the tests of a black box",
			goPackage{ImportPath: module + "/e2e", TestImports: ours("e2e/demo", "rpc"), XTestImports: ours("rpc", "state")},
			[]string{
				"e2e imports rpc: the ladder lets e2e/... import [structs e2e/...]",
				"e2e imports state: the ladder lets e2e/... import [structs e2e/...]",
			}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, checkLadder(rungs, []goPackage{tc.pkg})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestTableCheckCatches(t *testing.T) {
	got := checkTable([]rung{
		{pkg: "structs", may: []string{"fsm"}},
		{pkg: "fsm", may: []string{"structs"}},
		{pkg: "fsm"},
	})
	want := []string{"structs may import fsm, which is not above it", "fsm has two lines"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDeterminismFollowsHelpers(t *testing.T) {
	pkgs := []goPackage{
		{ImportPath: module + "/fsm", Imports: []string{module + "/internal/codec", module + "/snapshot"}},
		{ImportPath: module + "/fsm/dispatch"},
		{ImportPath: module + "/snapshot", Imports: []string{module + "/internal/files"}},
		{ImportPath: module + "/internal/codec", Imports: []string{"fmt"}},
		{ImportPath: module + "/internal/files"},
	}
	var got []string
	for _, p := range mustBeDeterministic(pkgs) {
		got = append(got, p.ImportPath)
	}
	want := []string{module + "/fsm", module + "/fsm/dispatch", module + "/internal/codec"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
