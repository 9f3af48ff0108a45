package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheCommittedListIsRead(t *testing.T) {
	got, err := parseExclusions(notApplicable)
	if err != nil || len(got) < 10 {
		t.Errorf("%d lines, error %v", len(got), err)
	}
}

func TestListsWithMistakes(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"no reason":          {"TestA:\n", "not_applicable.txt:1: want the name"},
		"no colon":           {"# fine\n\nTestA why\n", "not_applicable.txt:3: want the name"},
		"not a test":         {"A: because\n", "not_applicable.txt:1: want the name"},
		"the same one twice": {"TestA: x\nTestA: y\n", "not_applicable.txt:2: TestA is there twice"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parseExclusions(tc.text); err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

func TestServerTests(t *testing.T) {
	dir := t.TempDir()
	src := "package api\nfunc TestA() { defer func() { makeClient() }() }\nfunc TestB() {}\nfunc helper() { makeClient() }\nfunc TestC() { testutil.NewTestServer() }\n"
	if err := os.WriteFile(filepath.Join(dir, "a_test.go"), []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := serverTests(dir)
	if diff := cmp.Diff(map[string]bool{"TestA": true, "TestC": true}, got); diff != "" || err != nil {
		t.Errorf("found (-want +got), error %v:\n%s", err, diff)
	}
	if _, err := serverTests(t.TempDir()); err == nil {
		t.Error("a module without such tests is no mistake")
	}
}

const events = `{"Action":"run","Test":"TestA"}
{"Action":"output","Test":"TestA/sub","Output":"    sub says\n"}
{"Action":"fail","Test":"TestA/sub","Elapsed":1}
{"Action":"fail","Test":"TestA","Elapsed":2}
{"Action":"pass","Test":"TestB","Elapsed":1.5}
{"Action":"pass","Test":"TestC","Elapsed":0}
{"Action":"skip","Test":"TestD","Elapsed":0}
{"Action":"run","Test":"TestE"}
{"Action":"output","Output":"FAIL\n"}
not JSON
`

func TestReport(t *testing.T) {
	results, err := readEvents(strings.NewReader(events), false)
	if err != nil {
		t.Fatal(err)
	}
	r := &report{
		version: "v1", results: results, alone: 5,
		excluded: map[string]string{"TestX": "because", "TestGone": "because"}, stale: []string{"TestGone"},
	}
	var out bytes.Buffer
	r.print(&out)
	want := `passed          TestB (1.5s)
passed          TestC (0.0s)
not applicable  TestGone: because
not applicable  TestX: because
failed          TestA: fail
        sub says
failed          TestD: skip
failed          TestE: unfinished
failed          TestGone: is in not_applicable.txt, and the SDK has no such test

github.com/hashicorp/nomad/api v1: 2 passed, 4 failed, 1 not applicable; 5 more start no server
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if r.ok() {
		t.Error("a report with failures is fine")
	}
	if r := (&report{results: map[string]*result{"TestB": results["TestB"]}}); !r.ok() {
		t.Error("a report without failures is not fine")
	}
}
