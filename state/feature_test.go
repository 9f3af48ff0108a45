package state

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

func openGate(name, build, version string) func(*Txn) error {
	return func(t *Txn) error {
		return t.OpenFeatures([]*structs.FeatureGate{{Name: name, MinBuild: build, MinVersion: version}})
	}
}

func TestAGateThatIsOpenStaysOpenAndTakesWhatIsAskedLast(t *testing.T) {
	s := New()
	if s.FeatureOpen("a") {
		t.Error("open from the start")
	}
	must(t, s, openGate("a", "1.11.0", ""), openGate("b", "", "0.1.0"), openGate("a", "1.12.0", "0.2.0"))
	want := []*structs.FeatureGate{{Name: "a", MinBuild: "1.12.0", MinVersion: "0.2.0"}, {Name: "b", MinVersion: "0.1.0"}}
	if diff := cmp.Diff(want, all[*structs.FeatureGate](t)(s.FeatureGates(nil))); diff != "" {
		t.Error(diff)
	}
	if !s.FeatureOpen("a") || s.FeatureOpen("c") {
		t.Error("a must be open, c must not")
	}
}

// TestAServerThatSkippedAGateCatchesUp: a server of before gates skips the first entry. Once it is upgraded, and the
// gate is written again with the next one, nothing tells its state from that of the others.
func TestAServerThatSkippedAGateCatchesUp(t *testing.T) {
	always, upgraded := New(), New()
	must(t, always, openGate("a", "1.11.0", ""))
	both := func(x *Txn) error {
		return x.OpenFeatures([]*structs.FeatureGate{{Name: "a", MinBuild: "1.11.0"}, {Name: "b"}})
	}
	if digest(t, always) == digest(t, upgraded) {
		t.Fatal("the skipped entry does not show")
	}
	must(t, always, both)
	must(t, upgraded, both)
	if digest(t, always) != digest(t, upgraded) {
		t.Error("the states differ")
	}
}

func TestGateRequestsThatAreRefused(t *testing.T) {
	for name, gates := range map[string][]*structs.FeatureGate{
		"of no gate":                nil,
		"of a gate that is missing": {{Name: "a"}, nil},
		"of a gate without a name":  {{Name: "a"}, {MinBuild: "1.11.0"}},
	} {
		t.Run(name, func(t *testing.T) {
			_ = unchanged(t, New(), func(x *Txn) error { return x.OpenFeatures(gates) })
		})
	}
}

func BenchmarkFeatureOpen(b *testing.B) {
	s := New()
	must(b, s, openGate(structs.FeatureNodeIdentity, "1.11.0", ""), openGate(structs.FeatureStateDigest, "", "0.1.0"))
	for b.Loop() {
		if !s.FeatureOpen(structs.FeatureNodeIdentity) {
			b.Fatal("closed")
		}
	}
}
