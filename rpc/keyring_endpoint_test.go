package rpc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

func (w *world) rotate(change func(*structs.KeyringRotateRequest)) (*structs.KeyringRotateResponse, error) {
	w.t.Helper()
	req := &structs.KeyringRotateRequest{WriteRequest: write("")}
	if change != nil {
		change(req)
	}
	return call[structs.KeyringRotateResponse](w, "Keyring.Rotate", req)
}

func (w *world) deleteKey(id string, force bool) error {
	w.t.Helper()
	_, err := call[structs.GenericResponse](w, "Keyring.Delete", &structs.KeyringDeleteRequest{KeyID: id, Force: force, WriteRequest: write("")})
	return err
}

// keyStates is every key's state by ID.
func (w *world) keyStates() map[string]structs.KeyState {
	w.t.Helper()
	out := map[string]structs.KeyState{}
	for _, k := range must(call[structs.KeyringListResponse](w, "Keyring.List", generic("")))(w.t).Keys {
		out[k.KeyID] = k.State
	}
	return out
}

func (w *world) active() string {
	w.t.Helper()
	for id, state := range w.keyStates() {
		if state == structs.KeyStateActive {
			return id
		}
	}
	w.t.Fatal("no key is active")
	return ""
}

func TestRotation(t *testing.T) {
	w := newWorld(t)
	first := w.active()
	w.clock.advance(time.Hour)
	reply := must(w.rotate(nil))(t)
	want := &structs.RootKeyMeta{KeyID: reply.Key.KeyID, Algorithm: structs.EncryptionAlgorithmAES256GCM, State: structs.KeyStateActive,
		CreateTime: t0.Add(time.Hour).UnixNano(), CreateIndex: w.raft.index, ModifyIndex: w.raft.index}
	if diff := cmp.Diff(want, reply.Key); diff != "" || reply.Index != w.raft.index {
		t.Errorf("index %d, key (-want +got):\n%s", reply.Index, diff)
	}
	second := reply.Key.KeyID
	if diff := cmp.Diff(map[string]structs.KeyState{first: "inactive", second: "active"}, w.keyStates()); diff != "" {
		t.Error(diff)
	}
	third := must(w.rotate(func(r *structs.KeyringRotateRequest) { r.Algorithm, r.Full = "aes256-gcm", true }))(t).Key.KeyID
	if diff := cmp.Diff(map[string]structs.KeyState{first: "rekeying", second: "rekeying", third: "active"}, w.keyStates()); diff != "" {
		t.Error("after a full rotation:", diff)
	}
	publish := w.clock.Now().Add(time.Hour).UnixNano()
	fourth := must(w.rotate(func(r *structs.KeyringRotateRequest) { r.PublishTime = publish }))(t).Key
	if fourth.State != structs.KeyStatePrepublished || fourth.PublishTime != publish || w.keyStates()[third] != structs.KeyStateActive {
		t.Errorf("published ahead: %+v", fourth)
	}
	public := must(call[structs.KeyringListPublicResponse](w, "Keyring.ListPublic", generic("")))(t)
	var ids []string
	for _, k := range public.PublicKeys {
		ids = append(ids, k.KeyID)
	}
	if len(ids) != 4 || !slices.IsSorted(ids) || public.RotationThreshold != 720*time.Hour || public.Index != w.raft.index {
		t.Errorf("public keys %v, %+v", ids, public)
	}
	if body, _ := structs.EncodeBytes(must(call[structs.KeyringListResponse](w, "Keyring.List", generic("")))(t)); strings.Contains(string(body), "Wrapped") {
		t.Error("the list shows wrapped keys")
	}
}

func TestRotationIsRefused(t *testing.T) {
	cases := []struct {
		name   string
		change func(r *structs.KeyringRotateRequest)
		text   string
	}{
		{"full and ahead of time", func(r *structs.KeyringRotateRequest) { r.Full, r.PublishTime = true, t0.Add(time.Hour).UnixNano() }, "full rotation can't be published ahead"},
		{"ahead of a time that has passed", func(r *structs.KeyringRotateRequest) { r.PublishTime = t0.Add(-1).UnixNano() }, "is in the past"},
		{"at a time before all times", func(r *structs.KeyringRotateRequest) { r.PublishTime = -5 }, "is in the past"},
		{"with an algorithm that there is not", func(r *structs.KeyringRotateRequest) { r.Algorithm = "rot13" }, `"rot13" is not supported`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			before := w.raft.count()
			_, err := w.rotate(c.change)
			wantError(t, err, nil, c.text)
			wantCode(t, err, 400)
			if w.raft.count() != before {
				t.Error("something was written")
			}
		})
	}
}

func TestNoKeyWithoutALease(t *testing.T) {
	w := newFleet(t)
	w.leader.leaseErr = fmt.Errorf("%w: lease", structs.ErrNoLeader)
	before := w.raft.count()
	_, rotate := w.rotate(nil)
	_, introduce := call[structs.ClientIntroductionResponse](w, "ACL.CreateClientIntroductionToken", &structs.ClientIntroductionRequest{WriteRequest: write("")})
	_, collect := call[structs.GenericResponse](w, "System.GarbageCollect", generic(""))
	for name, err := range map[string]error{"rotate": rotate, "delete": w.deleteKey(uuid(3), false), "introduce": introduce, "collect": collect} {
		if !errors.Is(err, structs.ErrNoLeader) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if w.raft.count() != before || len(w.operator.gc) != 0 {
		t.Error("something happened")
	}
}

func TestDeletingKeys(t *testing.T) {
	t.Run("refusals", func(t *testing.T) {
		w := newWorld(t)
		err := w.deleteKey("", false)
		wantError(t, err, nil, "missing key ID")
		wantCode(t, err, 400)
		err = w.deleteKey(uuid(9), true)
		wantError(t, err, structs.ErrRootKeyNotFound, "root key not found")
		wantCode(t, err, 404)
		err = w.deleteKey(w.active(), true)
		wantError(t, err, structs.ErrRootKeyActive, "active root key cannot be deleted - call rotate first")
		wantCode(t, err, 400)
	})
	t.Run("one that nothing uses", func(t *testing.T) {
		w := newWorld(t)
		old := w.active()
		must(w.rotate(nil))(t)
		if err := w.deleteKey(old, false); err != nil {
			t.Fatal(err)
		}
		if _, there := w.keyStates()[old]; there {
			t.Error("it is still there")
		}
		if got := last[structs.KeyringDeleteRequest](w, structs.RootKeyDeleteMsg); got.At != t0.Unix() {
			t.Errorf("proposed with time %d", got.At)
		}
	})
	for _, force := range []bool{false, true} {
		t.Run(fmt.Sprintf("one that signed a node's identity, force is %v", force), func(t *testing.T) {
			w := newWorld(t)
			w.join(1)
			old := w.active()
			must(w.rotate(nil))(t)
			wantError(t, w.deleteKey(old, force), structs.ErrRootKeyInUse, "root key in use, cannot delete")
			w.setStatus(1, structs.NodeStatusDown)
			w.clock.advance(defaultTTL + time.Minute) // the last second at which it may verify
			wantError(t, w.deleteKey(old, force), structs.ErrRootKeyInUse)
			w.clock.advance(time.Second)
			if err := w.deleteKey(old, force); err != nil {
				t.Errorf("after the identity has expired: %v", err)
			}
		})
		t.Run(fmt.Sprintf("one whose node has renewed, force is %v", force), func(t *testing.T) {
			w := newWorld(t)
			token := w.join(1)
			old := w.active()
			must(w.rotate(nil))(t)
			wantError(t, w.deleteKey(old, force), structs.ErrRootKeyInUse)
			must(w.heartbeat(1, token, renewal))(t)
			if err := w.deleteKey(old, force); err != nil {
				t.Error(err)
			}
		})
		t.Run(fmt.Sprintf("one that encrypts something, force is %v", force), func(t *testing.T) {
			w := newWorld(t)
			old := w.active()
			w.mustApply(structs.VarApplyStateMsg, map[string]any{"Var": map[string]any{"KeyID": old}})
			must(w.rotate(nil))(t)
			err := w.deleteKey(old, force)
			if force && err != nil {
				t.Error(err)
			}
			if !force {
				wantError(t, err, structs.ErrRootKeyInUse)
			}
		})
	}
	t.Run("the client can't say when it is", func(t *testing.T) {
		w := newWorld(t)
		w.join(1)
		old := w.active()
		must(w.rotate(nil))(t)
		for _, at := range []int64{0, -1, t0.Add(1000 * time.Hour).Unix()} {
			_, err := call[structs.GenericResponse](w, "Keyring.Delete", &structs.KeyringDeleteRequest{KeyID: old, Force: true, At: at, WriteRequest: write("")})
			wantError(t, err, structs.ErrRootKeyInUse)
		}
	})
}

func TestPublicKeysWaitForTheKeyring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubbleWorld(t)
		w.lateKeys = true
		ask := func(index uint64) *waiting[structs.KeyringListPublicResponse] {
			return wait[structs.KeyringListPublicResponse](t.Context(), w, "Keyring.ListPublic", &structs.GenericRequest{QueryOptions: blocking(index, time.Minute)})
		}
		first := ask(0)
		<-first.done
		q := ask(first.reply.Index)
		w.addKey(structs.KeyStateActive)
		now := must(call[structs.KeyringListPublicResponse](w, "Keyring.ListPublic", generic("")))(t)
		if len(now.PublicKeys) != 1 || now.Index >= w.raft.index {
			t.Errorf("before the key is loaded: %d keys at index %d, which would hide the change at %d", len(now.PublicKeys), now.Index, w.raft.index)
		}
		<-time.After(200 * time.Millisecond)
		w.loadKeys()
		if !q.answered() || q.err != nil || len(q.reply.PublicKeys) != 2 || q.reply.Index != w.raft.index {
			t.Fatalf("woken with %+v, %v", q.reply, q.err)
		}
		q = ask(q.reply.Index)
		w.addKey(structs.KeyStateActive) // can't be unwrapped
		if !q.answered() || len(q.reply.PublicKeys) != 2 || q.reply.Index != w.raft.index {
			t.Fatalf("a key that is never loaded holds everybody up: %+v, %v", q.reply, q.err)
		}
		if q = ask(q.reply.Index); q.answered() {
			t.Error("a key that is never loaded makes callers spin")
		}
		<-q.done
	})
}

func TestDiscoveryNeedsAnIssuer(t *testing.T) {
	if got := must(call[structs.KeyringGetConfigResponse](newWorld(t), "Keyring.GetConfig", generic("")))(t); got.OIDCDiscovery != nil {
		t.Errorf("without an issuer: %+v", got.OIDCDiscovery)
	}
	w := newWorld(t, func(c *Config) { c.Issuer = "https://id.example" })
	got := must(call[structs.KeyringGetConfigResponse](w, "Keyring.GetConfig", generic("")))(t)
	if got.OIDCDiscovery == nil || got.OIDCDiscovery.Issuer != "https://id.example" || got.OIDCDiscovery.JWKS != "https://id.example/.well-known/jwks.json" {
		t.Errorf("discovery %+v", got.OIDCDiscovery)
	}
}

func TestIntroductionTokens(t *testing.T) {
	cases := []struct {
		name       string
		req        structs.ClientIntroductionRequest
		pool, node string
		ttl        time.Duration
		refused    string
	}{
		{"nothing said", structs.ClientIntroductionRequest{}, "default", "", 5 * time.Minute, ""},
		{"a pool and a name", structs.ClientIntroductionRequest{NodePool: "gpu", NodeName: "web-1"}, "gpu", "web-1", 5 * time.Minute, ""},
		{"a short life", structs.ClientIntroductionRequest{TTL: time.Second}, "default", "", time.Second, ""},
		{"the longest life", structs.ClientIntroductionRequest{TTL: 30 * time.Minute}, "default", "", 30 * time.Minute, ""},
		{"too long a life is shortened", structs.ClientIntroductionRequest{TTL: 100 * time.Hour}, "default", "", 30 * time.Minute, ""},
		{"a negative life", structs.ClientIntroductionRequest{TTL: -1}, "", "", 0, "is negative"},
		{"a life too short for its times", structs.ClientIntroductionRequest{TTL: time.Millisecond}, "", "", 0, "under one second"},
		{"a bad pool", structs.ClientIntroductionRequest{NodePool: "a b"}, "", "", 0, "invalid node pool name"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			before := w.raft.count()
			c.req.WriteRequest = write("")
			reply, err := call[structs.ClientIntroductionResponse](w, "ACL.CreateClientIntroductionToken", &c.req)
			if w.raft.count() != before {
				t.Error("something was written")
			}
			if c.refused != "" {
				wantError(t, err, nil, c.refused)
				wantCode(t, err, 400)
				return
			}
			claims, err := w.kr.Verify(must(reply, err)(t).JWT, t0)
			if err != nil || claims.Kind() != structs.IdentityIntroduction {
				t.Fatalf("claims %+v, %v", claims, err)
			}
			if in := claims.Introduction; in.Pool != c.pool || in.Name != c.node || claims.Expiry != t0.Add(c.ttl).Unix() {
				t.Errorf("introduction %+v until %s", in, claims.ExpiresAt())
			}
			if want := fmt.Sprintf("node-introduction:global:%s:%s:default", c.pool, c.node); claims.Subject != want {
				t.Errorf("subject %s", claims.Subject)
			}
		})
	}
	t.Run("a server that is too old for it", func(t *testing.T) {
		w := newWorld(t)
		w.cluster.cannotMint = true
		_, err := call[structs.ClientIntroductionResponse](w, "ACL.CreateClientIntroductionToken", &structs.ClientIntroductionRequest{WriteRequest: write("")})
		wantCode(t, err, 400)
	})
}
