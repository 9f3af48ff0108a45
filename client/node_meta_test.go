package client

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/structs"
)

func TestAppliedMetadataRegistersAgainAndSurvivesARestart(t *testing.T) {
	f := newFakeCluster("s1:4647")
	st := new(memStore)
	static := func(cfg *Config) { cfg.Meta = map[string]string{"rack": "r1", "owner": "web"} }
	changes := map[string]*string{"rack": nil, "disk": new("new"), "never": nil}
	inBubble(t, f, st, static, func(t *testing.T, c *Client) {
		advance(5 * time.Second)
		got, err := c.ApplyNodeMeta(changes)
		if err != nil {
			t.Fatal(err)
		}
		want := &structs.NodeMetaResponse{
			Meta:    map[string]string{"owner": "web", "disk": "new"},
			Dynamic: map[string]*string{"rack": nil, "disk": new("new")},
			Static:  map[string]string{"rack": "r1", "owner": "web"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if _, err := c.ApplyNodeMeta(map[string]*string{"disk": new("new")}); err != nil {
			t.Fatal(err)
		}
		advance(5 * time.Second)
		history := f.history("Node.Register")
		if len(history) != 2 {
			t.Fatalf("%d registrations, want one for the start and one for the change", len(history))
		}
		if diff := cmp.Diff(want.Meta, history[1].meta); diff != "" {
			t.Errorf("registered -want +got:\n%s", diff)
		}
	})
	f.forgetHistory()
	inBubble(t, f, st, func(cfg *Config) { cfg.Meta = map[string]string{"rack": "r2"} }, func(t *testing.T, c *Client) {
		advance(5 * time.Second)
		if diff := cmp.Diff(map[string]string{"disk": "new"}, f.history("Node.Register")[0].meta); diff != "" {
			t.Errorf("after a restart with another configuration: -want +got:\n%s", diff)
		}
		c.SetMeta(map[string]string{"site": "lisbon"})
		if diff := cmp.Diff(map[string]string{"disk": "new", "site": "lisbon"}, c.Node().Meta.Map()); diff != "" {
			t.Errorf("after a reload: -want +got:\n%s", diff)
		}
	})
}

// fullStore can't be written.
type fullStore struct{ memStore }

func (*fullStore) saveMeta(map[string]*string) error { return errors.New("disk is full") }

func TestMetadataThatIsNotStoredIsNotUsed(t *testing.T) {
	c := newTestClient(t, newFakeCluster("s1:4647"), new(fullStore), nil)
	defer c.Shutdown()
	if _, err := c.ApplyNodeMeta(map[string]*string{"a": new("b")}); err == nil || err.Error() != "disk is full" {
		t.Errorf("got %v", err)
	}
	if got := c.NodeMeta(); len(got.Meta) != 0 || len(got.Dynamic) != 0 || c.Node().Meta.Len() != 0 {
		t.Errorf("metadata is %+v", got)
	}
}

func TestOneNodeHasAsMuchAppliedMetadataAsServersCanHold(t *testing.T) {
	c := newTestClient(t, newFakeCluster("s1:4647"), new(memStore), nil)
	defer c.Shutdown()
	for i := range 256 {
		if _, err := c.ApplyNodeMeta(map[string]*string{fmt.Sprint("key-", i): new("x")}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.ApplyNodeMeta(map[string]*string{"more": new("x")})
	if code, _ := structs.HTTPStatus(err); err == nil || code != 400 {
		t.Errorf("key 257: %v", err)
	}
	if _, err := c.ApplyNodeMeta(map[string]*string{"more": new("x"), "key-0": nil}); err != nil {
		t.Errorf("one comes, one goes: %v", err)
	}
}

func TestStoredMetadata(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) store{
		"on disk": func(t *testing.T) store {
			s, err := openStore(t.TempDir(), hclog.NewNullLogger())
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		"in memory": func(*testing.T) store { return new(memStore) },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			defer s.close()
			if m, err := s.loadMeta(); m != nil || err != nil {
				t.Errorf("before the first: %v, %v", m, err)
			}
			want := map[string]*string{"a": new("b"), "gone": nil}
			err := errors.Join(s.saveMeta(want), s.save(persisted{"signed", true}))
			got, lerr := s.loadMeta()
			if err := errors.Join(err, lerr); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
