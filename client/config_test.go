package client

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rollcall-id/rollcall/internal/version"
	"github.com/rollcall-id/rollcall/structs"
)

func TestConfigNamesEverythingThatIsWrong(t *testing.T) {
	_, err := Config{NodePool: "a pool", Servers: []string{"host:0", ":1", "a:b:c"}}.withDefaults("")
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"region is missing", "datacenter is missing", "node name", "state directory", "a pool", `"host:0"`, `":1"`, `"a:b:c"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not mention %q", err, want)
		}
	}
	cfg := testConfig()
	cfg.NodePool, cfg.Dev = structs.NodePoolAll, true
	if _, err := cfg.withDefaults("host"); err == nil || !strings.Contains(err.Error(), "all") {
		t.Errorf("pool all: %v", err)
	}
}

func TestConfigDefaults(t *testing.T) {
	meta := map[string]string{"rack": "r1"}
	cfg, err := Config{Region: "global", Datacenter: "dc1", Dev: true, Meta: meta, Servers: []string{"a", "a:4647", "[::1]:1", "::1", "10.0.0.1"}}.withDefaults("host")
	if err != nil {
		t.Fatal(err)
	}
	meta["rack"] = "changed"
	if cfg.Name != "host" || cfg.Version != version.Version || cfg.Logger == nil || cfg.Meta["rack"] != "r1" {
		t.Errorf("defaults: %+v", cfg)
	}
	if diff := cmp.Diff([]string{"a:4647", "[::1]:1", "[::1]:4647", "10.0.0.1:4647"}, cfg.Servers); diff != "" {
		t.Errorf("servers, -want +got:\n%s", diff)
	}
}

func TestServerListTakesItsTurns(t *testing.T) {
	s := newServerList([]string{"a:1", "b:1"})
	first := s.pick()
	if again := s.pick(); first == "" || again != first {
		t.Fatalf("picked %q, then %q", first, again)
	}
	if err := s.learn([]*structs.NodeServerInfo{{RPCAdvertiseAddr: "x:1"}, nil, {RPCAdvertiseAddr: "y:1"}, {RPCAdvertiseAddr: "x:1"}, {RPCAdvertiseAddr: "bad:"}}); err != nil {
		t.Fatal(err)
	}
	if s.pick() != first {
		t.Error("the server that answers was left")
	}
	order := s.all()
	if len(order) != 4 || slices.Contains(order[:2], "a:1") || slices.Contains(order[:2], "b:1") {
		t.Errorf("order %v, want the learned ones first", order)
	}
	s.failed("somebody else")
	if s.pick() != first {
		t.Error("the failure of another server moved it on")
	}
	var turns []string
	for range 4 {
		s.failed(s.pick())
		turns = append(turns, s.pick())
	}
	if slices.Sort(turns); len(slices.Compact(turns)) != 4 {
		t.Errorf("four failures led to %v", turns)
	}
	if err := s.learn(nil); err == nil {
		t.Error("an empty list is taken")
	}
	s.configure([]string{"z:1"})
	if got := s.all(); s.pick() != "z:1" || len(got) != 1 {
		t.Errorf("after configure: %s of %v", s.pick(), got)
	}
	s.configure(nil)
	if s.pick() != "" {
		t.Errorf("without servers: %s", s.pick())
	}
}

// TestServerListNeverLeavesAServerOut changes the list at random: as long as a server is known, as many failures as there are
// servers lead to each of them.
func TestServerListNeverLeavesAServerOut(t *testing.T) {
	names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a:1", "b:1", "c:1", "d:1", "e:1"}), 1, 4, rapid.ID[string])
	rapid.Check(t, func(t *rapid.T) {
		s := newServerList(names.Draw(t, "configured"))
		t.Repeat(map[string]func(*rapid.T){
			"learn": func(t *rapid.T) {
				var infos []*structs.NodeServerInfo
				for _, n := range names.Draw(t, "learned") {
					infos = append(infos, &structs.NodeServerInfo{RPCAdvertiseAddr: n})
				}
				if err := s.learn(infos); err != nil {
					t.Fatal(err)
				}
			},
			"configure": func(t *rapid.T) { s.configure(names.Draw(t, "configured")) },
			"fail":      func(t *rapid.T) { s.failed(s.pick()) },
			"": func(t *rapid.T) {
				all, met := s.all(), map[string]bool{}
				for range all {
					s.failed(s.pick())
					met[s.pick()] = true
				}
				for _, a := range all {
					if !met[a] {
						t.Fatalf("%s of %v never had its turn", a, all)
					}
				}
			},
		})
	})
}

func TestPauses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		failures := rapid.IntRange(0, 1<<20).Draw(t, "failures")
		left := time.Duration(rapid.Int64Range(-1<<40, 1<<45).Draw(t, "left"))
		limit := rapid.SampledFrom([]time.Duration{devRetryMax, retryMax}).Draw(t, "limit")
		if d := afterFailure(failures, left, limit); d < retryMin/2 || d > limit {
			t.Fatalf("pause of %s", d)
		} else if left > 0 && d > max(left/4, retryMin) {
			t.Fatalf("pause of %s with %s left", d, left)
		}
		if d := exponential(failures, limit); d < retryMin || d > limit {
			t.Fatalf("exponential pause of %s", d)
		}
	})
}
