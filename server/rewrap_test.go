package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/internal/transitserver"
	"github.com/rollcall-id/rollcall/keyring"
	"github.com/rollcall-id/rollcall/keyring/transit"
	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

var kek1, kek2 = []byte("0123456789abcdef0123456789abcdef"), []byte("89abcdef0123456789abcdef01234567")

// aeadBy is an aead provider.
func aeadBy(name string, kek []byte, active bool) keyring.WrapperConfig {
	return keyring.WrapperConfig{Provider: keyring.ProviderAEAD, Name: name, KEK: kek, Active: active}
}

// wrapBy gives a server these providers.
func wrapBy(providers ...keyring.WrapperConfig) func(*Config) {
	return func(c *Config) { c.Keys.Keyring.Wrappers = providers }
}

// transitBy is a transit provider of the service, made anew for each server.
func transitBy(s *transitserver.Server, token string, active bool) keyring.WrapperConfig {
	w := transit.New(transit.Config{Options: map[string]string{
		"address": s.URL, "mount_path": "transit", "key_name": "rollcall", "token": token, "disable_renewal": "true"}})
	return keyring.WrapperConfig{Provider: transit.Provider, Active: active, Wrapper: w, Source: w.Source()}
}

// copiesOf are the providers that wrapped each key.
func copiesOf(t *testing.T, s *Server) map[string]string {
	t.Helper()
	keys, err := rootKeys(s.fsm.State(), nil)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, k := range keys {
		var by []string
		for _, w := range k.WrappedKeys {
			id := keyring.ProviderOf(w)
			if len(w.KeyEncryptionKey) > 0 {
				id += " in clear"
			}
			by = append(by, id)
		}
		out[k.KeyID] = strings.Join(by, "+")
	}
	return out
}

// rewrap takes one step by the server.
func rewrap(t *testing.T, s *Server, provider string) (*structs.KeyringRewrapResponse, error) {
	var out structs.KeyringRewrapResponse
	req := &structs.KeyringRewrapRequest{ProviderID: provider, WriteRequest: structs.WriteRequest{Region: testRegion}}
	err := s.RPC(t.Context(), "Keyring.Rewrap", req, &out)
	return &out, err
}

// rewrapAll takes steps by any of the servers until all is done.
func rewrapAll(t *testing.T, provider string, servers ...*Server) {
	t.Helper()
	eventually(t, "all keys moved to "+provider, func() error {
		for _, s := range servers {
			if s.ctx.Err() != nil {
				continue
			}
			out, err := rewrap(t, s, provider)
			if err != nil {
				return err
			}
			if out.Done {
				return nil
			}
			return fmt.Errorf("not done: %+v", out.Keys)
		}
		return errors.New("no server runs")
	})
}

// renewAlways registers a node and has it renew over the servers all the time; the returned function ends it and says how
// often that went well. Any failure that is not the loss of a leader is an error of the test.
func renewAlways(t *testing.T, servers ...*Server) (stop func() int) {
	t.Helper()
	servers = slices.Clone(servers) // the caller puts others in their places
	pool := newPool(t)
	n := testNode()
	token := *register(t, pool, servers[0].RPCAddr(), n, "").SignedIdentity
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var renewed int
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			s := servers[i%len(servers)]
			if s.ctx.Err() != nil {
				continue
			}
			reply, err := heartbeat(pool, t, s.RPCAddr(), n.ID, token, true)
			var te *transport.TransportError
			switch {
			case err == nil && reply.SignedIdentity != nil:
				token = *reply.SignedIdentity
				renewed++
			case err == nil:
				t.Error("a forced renewal brought no identity")
			case s.ctx.Err() != nil || errors.As(err, &te) || leaderless(err):
			default:
				t.Errorf("renewal over %s: %v", s.cfg.NodeName, err)
			}
		}
	})
	return func() int {
		cancel()
		wg.Wait()
		return renewed
	}
}

// leaderless reports whether a call failed for want of a leader, or with the one that it was forwarded to.
func leaderless(err error) bool {
	text := err.Error()
	for _, part := range []string{structs.ErrNoLeader.Error(), structs.ErrNotReady.Error(), "not leader", "leadership", "shutdown", "forward Node.UpdateStatus"} {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

func TestKeysMoveFromProviderToProviderWhileIdentitiesAreSigned(t *testing.T) {
	service := transitserver.Start("rollcall", "root")
	defer service.Close()
	clear := aeadBy("", nil, false)
	all := func(active string) func(*Config) {
		return func(c *Config) {
			wrapBy(clear, aeadBy("kek1", kek1, active == "aead.kek1"), transitBy(service, "root", active == "transit"), aeadBy("kek2", kek2, active == "aead.kek2"))(c)
		}
	}
	servers := cluster(t, 3, func(c *Config) {
		quietly(c)
		c.DataDir = t.TempDir()
		wrapBy(aeadBy("", nil, true))(c)
	})
	for range 2 {
		rotateKey(t, waitLeader(t, servers...))
	}
	eventually(t, "three keys", func() error {
		if got := loadedKeys(waitLeader(t, servers...)); len(got) != 3 {
			return fmt.Errorf("loaded %v", got)
		}
		return nil
	})
	jwks := jwksOf(t, waitLeader(t, servers...).keyring.JWKS())
	for _, to := range []string{"aead.kek1", "transit", "aead.kek2"} {
		for i := range servers {
			servers[i] = upgrade(t, servers[i], all(to))
			waitLeader(t, servers...)
		}
		stop := renewAlways(t, servers...)
		rewrapAll(t, to, servers...)
		if renewed := stop(); renewed == 0 {
			t.Errorf("to %s: nothing was renewed meanwhile", to)
		}
		leader := waitLeader(t, servers...)
		for id, by := range copiesOf(t, leader) {
			if by != to {
				t.Errorf("key %s is wrapped by %s, want %s alone", id, by, to)
			}
		}
		if got := jwksOf(t, leader.keyring.JWKS()); fmt.Sprint(got) != fmt.Sprint(jwks) {
			t.Errorf("to %s: published keys changed", to)
		}
		if states := keyStates(t, leader); len(states) != 3 {
			t.Errorf("keys %v", states)
		}
	}
	// With the last provider alone everything is there.
	for i := range servers {
		servers[i] = upgrade(t, servers[i], wrapBy(aeadBy("kek2", kek2, true)))
		waitLeader(t, servers...)
	}
	eventually(t, "all keys on every server", func() error {
		for _, s := range servers {
			if got := loadedKeys(s); len(got) != 3 {
				return fmt.Errorf("%s has loaded %v", s.cfg.NodeName, got)
			}
		}
		return nil
	})
}

func TestOldCopiesStayUntilEveryServerReadsTheNewOne(t *testing.T) {
	old, next := aeadBy("kek1", kek1, true), aeadBy("kek2", kek2, true)
	passive := old
	passive.Active = false
	servers := cluster(t, 3, func(c *Config) {
		quietly(c)
		c.DataDir = t.TempDir()
		wrapBy(old)(c)
	})
	leader := waitLeader(t, servers...)
	key := activeKey(t, leader)
	at := slices.Index(servers, leader)
	behind := (at + 1) % 3
	for i := range servers {
		if i != behind {
			servers[i] = upgrade(t, servers[i], wrapBy(passive, next))
		}
	}
	// Whichever of the two that have the new provider leads.
	step := func() *structs.KeyringRewrapResponse {
		t.Helper()
		var out *structs.KeyringRewrapResponse
		eventually(t, "a step", func() error {
			leader := waitLeader(t, servers...)
			if leader == servers[behind] {
				other := servers[(behind+1)%3]
				_, err := leader.TransferLeadership(other.id, "")
				return fmt.Errorf("the wrong server leads: %v", err)
			}
			var err error
			out, err = rewrap(t, leader, "aead.kek2")
			return err
		})
		return out
	}
	for range 3 {
		out := step()
		if out.Done || len(out.Keys) != 1 || out.Keys[0].Phase != structs.RewrapWaiting {
			t.Fatalf("got %+v, want one key that waits", out)
		}
		if why := strings.Join(out.Keys[0].Waiting, " "); !strings.Contains(why, servers[behind].cfg.NodeName) {
			t.Errorf("it waits for %q, want the server that lacks the provider", why)
		}
	}
	if got := copiesOf(t, waitLeader(t, servers...))[key]; got != "aead.kek1+aead.kek2" {
		t.Fatalf("copies %s, want the old one and one new one", got)
	}
	// A server that does not answer holds the old copies, too.
	if err := servers[behind].Shutdown(); err != nil {
		t.Fatal(err)
	}
	if out := step(); out.Done || !strings.Contains(strings.Join(out.Keys[0].Waiting, " "), "no answer") {
		t.Errorf("with a server down: %+v", out.Keys[0])
	}
	servers[behind] = upgrade(t, servers[behind], wrapBy(passive, next))
	waitLeader(t, servers...)
	rewrapAll(t, "aead.kek2", servers...)
	if got := copiesOf(t, waitLeader(t, servers...))[key]; got != "aead.kek2" {
		t.Errorf("copies %s", got)
	}
}

func TestAMoveGoesOnUnderTheNextLeader(t *testing.T) {
	servers := cluster(t, 3, func(c *Config) {
		quietly(c)
		c.DataDir = t.TempDir()
		wrapBy(aeadBy("kek1", kek1, true))(c)
	})
	for range 5 {
		rotateKey(t, waitLeader(t, servers...))
	}
	for i := range servers {
		servers[i] = upgrade(t, servers[i], wrapBy(aeadBy("kek1", kek1, false), aeadBy("kek2", kek2, true)))
		waitLeader(t, servers...)
	}
	stop := renewAlways(t, servers...)
	// Half a step, as a leader leaves it that dies in the middle: two keys have a second copy, one the new copy alone.
	leader := waitLeader(t, servers...)
	target, err := leader.keyring.Target(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := rootKeys(leader.fsm.State(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys[:3] {
		add := func(k *structs.RootKey) (*structs.RootKey, error) { return leader.addCopy(t.Context(), k, target) }
		if err := leader.changeKey(t.Context(), k.KeyID, add); err != nil {
			t.Fatal(err)
		}
	}
	done := []*structs.RewrapKey{{KeyID: keys[0].KeyID, Phase: structs.RewrapWaiting}}
	eventually(t, "the first key to be done", func() error {
		if done[0].Phase == structs.RewrapDone {
			return nil
		}
		done[0].Phase = structs.RewrapWaiting
		return errors.Join(leader.dropCopies(t.Context(), target, done), fmt.Errorf("waits for %v", done[0].Waiting))
	})
	if err := leader.Shutdown(); err != nil {
		t.Fatal(err)
	}
	out, err := (*structs.KeyringRewrapResponse)(nil), error(nil)
	eventually(t, "a step by the next leader", func() error {
		next := waitLeader(t, slices.DeleteFunc(slices.Clone(servers), func(s *Server) bool { return s == leader })...)
		out, err = rewrap(t, next, "aead.kek2")
		return err
	})
	if out.Done || slices.ContainsFunc(out.Keys, func(k *structs.RewrapKey) bool { return k.Phase == structs.RewrapFailed }) {
		t.Errorf("with a server down: %+v", out)
	}
	servers[slices.Index(servers, leader)] = upgrade(t, leader, func(*Config) {})
	waitLeader(t, servers...)
	rewrapAll(t, "aead.kek2", servers...)
	if renewed := stop(); renewed == 0 {
		t.Error("nothing was renewed meanwhile")
	}
	for id, by := range copiesOf(t, waitLeader(t, servers...)) {
		if by != "aead.kek2" {
			t.Errorf("key %s is wrapped by %s", id, by)
		}
	}
}

// A change of a key that comes between a step's look at it and its own change is not undone.
func TestAStepUndoesNoOtherChange(t *testing.T) {
	s := cluster(t, 1, wrapBy(aeadBy("kek1", kek1, false), aeadBy("kek2", kek2, true)))[0]
	old := activeKey(t, s)
	tries := 0
	err := s.changeKey(t.Context(), old, func(k *structs.RootKey) (*structs.RootKey, error) {
		if tries++; tries == 1 {
			rotateKey(t, s) // makes it inactive
		}
		return s.keyring.WrapAgain(t.Context(), k)
	})
	if err != nil || tries != 2 {
		t.Errorf("after %d tries: %v", tries, err)
	}
	if got := keyStates(t, s)[old]; got != structs.KeyStateInactive {
		t.Errorf("the old key is %s again", got)
	}
	err = s.changeKey(t.Context(), old, func(k *structs.RootKey) (*structs.RootKey, error) {
		req := &structs.KeyringDeleteRequest{KeyID: old, WriteRequest: structs.WriteRequest{Region: testRegion}}
		if _, err := (applier{s}).Apply(structs.RootKeyDeleteMsg, req); err != nil {
			return nil, err
		}
		return s.keyring.WrapAgain(t.Context(), k)
	})
	if !errors.Is(err, structs.ErrRootKeyNotFound) || len(keyStates(t, s)) != 1 {
		t.Errorf("after it was deleted: %v, keys %v", err, keyStates(t, s))
	}
}

func TestAProviderThatIsAwayStopsNothingButTheMove(t *testing.T) {
	service := transitserver.Start("rollcall", "root")
	defer service.Close()
	dir := t.TempDir()
	s := cluster(t, 1, func(c *Config) {
		quietly(c)
		c.DataDir = dir
		wrapBy(aeadBy("kek1", kek1, false), transitBy(service, "root", true))(c)
	})[0]
	key := activeKey(t, s)
	if got := copiesOf(t, s)[key]; got != "transit" {
		t.Fatalf("copies %s", got)
	}
	release := service.Hold()
	pool := newPool(t)
	if reply := register(t, pool, s.RPCAddr(), testNode(), ""); reply.SignedIdentity == nil {
		t.Error("no identity while the provider hangs")
	}
	release()
	service.Seal()
	if _, err := rewrap(t, s, ""); err == nil || !strings.Contains(err.Error(), "sealed") || strings.Contains(err.Error(), "\n") {
		t.Errorf("a step with a sealed provider: %v", err)
	}
	register(t, pool, s.RPCAddr(), testNode(), "")

	// A key that another provider wrapped too opens though the first is away; and a server starts with it.
	service.Unseal()
	if _, err := rewrap(t, s, "aead.kek1"); err == nil || !strings.Contains(err.Error(), "active keyring provider is transit") {
		t.Errorf("a step to a provider that is not active: %v", err)
	}
	s = upgrade(t, s, wrapBy(aeadBy("kek1", kek1, true), transitBy(service, "root", false)))
	waitLeader(t, s)
	target, err := s.keyring.Target(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.changeKey(t.Context(), key, func(k *structs.RootKey) (*structs.RootKey, error) { return s.addCopy(t.Context(), k, target) }); err != nil {
		t.Fatal(err)
	}
	release = service.Hold()
	defer release()
	s = upgrade(t, s, wrapBy(transitBy(service, "root", true), aeadBy("kek1", kek1, false)))
	waitLeader(t, s)
	if reply := register(t, newPool(t), s.RPCAddr(), testNode(), ""); reply.SignedIdentity == nil || activeKey(t, s) != key {
		t.Error("no identity by the key that one provider opens while the other hangs")
	}
}

func TestARotatedTransitKeyIsTakenUpByAMove(t *testing.T) {
	service := transitserver.Start("rollcall", "root")
	defer service.Close()
	s := cluster(t, 1, wrapBy(transitBy(service, "root", true)))[0]
	version := func() string {
		t.Helper()
		k, err := s.fsm.State().RootKeyByID(nil, activeKey(t, s))
		if err != nil || len(k.WrappedKeys) != 1 {
			t.Fatalf("%d copies, %v", len(k.WrappedKeys), err)
		}
		return string(k.WrappedKeys[0].WrappedDataEncryptionKey.Ciphertext[:len("vault:v1:")])
	}
	rewrapAll(t, "transit", s)
	if got := version(); got != "vault:v1:" {
		t.Errorf("ciphertext begins %s", got)
	}
	service.Rotate("rollcall")
	rewrapAll(t, "transit", s)
	service.DecryptFrom("rollcall", 2)
	if got := version(); got != "vault:v2:" {
		t.Errorf("ciphertext begins %s after the rotation", got)
	}
}

func TestAServerWithAnotherKeyEncryptionKeyNeverLocksTheOthersOut(t *testing.T) {
	clear := aeadBy("", nil, true)
	servers := cluster(t, 3, func(c *Config) {
		quietly(c)
		c.DataDir = t.TempDir()
		wrapBy(clear)(c)
	})
	first := activeKey(t, waitLeader(t, servers...)) // every server can open it, whatever is configured
	wrong := 2
	for i := range servers {
		kek := kek1
		if i == wrong {
			kek = kek2
		}
		servers[i] = upgrade(t, servers[i], wrapBy(aeadBy("", kek, true)))
		waitLeader(t, servers...)
	}
	lead := func(i int) {
		t.Helper()
		eventually(t, "leadership of "+servers[i].cfg.NodeName, func() error {
			leader := waitLeader(t, servers...)
			if leader == servers[i] {
				return nil
			}
			_, err := leader.TransferLeadership(servers[i].id, "")
			return errors.Join(err, errors.New("another leads"))
		})
	}
	for _, i := range []int{wrong, 0} {
		lead(i)
		var out structs.KeyringRotateResponse
		req := &structs.KeyringRotateRequest{WriteRequest: structs.WriteRequest{Region: testRegion}}
		err := servers[i].RPC(t.Context(), "Keyring.Rotate", req, &out)
		if err == nil || !strings.Contains(err.Error(), "another key-encryption key") {
			t.Errorf("a rotation by %s: %v, want a refusal that says whose key differs", servers[i].cfg.NodeName, err)
		}
		if got := keyStates(t, waitLeader(t, servers...)); len(got) != 1 || got[first] != structs.KeyStateActive {
			t.Fatalf("keys %v, want the first alone", got)
		}
	}
	// Where there is a key already that it can't open, it hands leadership on and makes no other.
	if err := servers[wrong].Shutdown(); err != nil {
		t.Fatal(err)
	}
	leader := waitLeader(t, servers[:wrong]...)
	second := rotateKey(t, leader)
	servers[wrong] = upgrade(t, servers[wrong], func(*Config) {})
	waitLeader(t, servers...)
	eventually(t, "the attempts to open it", func() error {
		if servers[wrong].keyring.Usable(second) {
			return errors.New("still hopes")
		}
		return nil
	})
	if _, err := waitLeader(t, servers...).TransferLeadership(servers[wrong].id, ""); err != nil {
		t.Logf("not handed over: %v", err) // it may have handed it back before that was seen
	}
	if got := keyStates(t, waitLeader(t, servers[:wrong]...)); len(got) != 2 || got[second] != structs.KeyStateActive {
		t.Errorf("keys %v, want no more than the two", got)
	}
}

func TestEveryServerTellsWhichKeysItCanOpen(t *testing.T) {
	servers := cluster(t, 3, func(c *Config) {
		quietly(c)
		wrapBy(aeadBy("kek1", kek1, true))(c)
	})
	key := activeKey(t, waitLeader(t, servers...))
	foreign := &structs.RootKey{
		KeyID: newUUID(), State: structs.KeyStateInactive, Algorithm: structs.EncryptionAlgorithmAES256GCM, CreateTime: time.Now().UnixNano(),
		WrappedKeys: []*structs.WrappedKey{{ProviderID: "awskms", WrappedDataEncryptionKey: &structs.BlobInfo{Ciphertext: []byte("of a provider we lack, long enough")}}},
	}
	if _, err := (applier{waitLeader(t, servers...)}).Apply(structs.RootKeyUpsertMsg, &structs.RootKeyUpsertRequest{WrappedRootKeys: foreign}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the state of all", func() error {
		var out structs.KeyringStatusResponse
		req := &structs.GenericRequest{QueryOptions: structs.QueryOptions{Region: testRegion}}
		if err := servers[1].RPC(t.Context(), "Keyring.Status", req, &out); err != nil {
			return err
		}
		if len(out.Servers) != 3 {
			return fmt.Errorf("%d servers", len(out.Servers))
		}
		for i, server := range out.Servers {
			if server.Error != "" || len(server.Keys) != 2 || server.Name != fmt.Sprintf("s%d.%s", i+1, testRegion) {
				return fmt.Errorf("%s (%s) tells of %d keys", server.Name, server.Error, len(server.Keys))
			}
			if p := server.Providers; len(p) != 1 || p[0].ID != "aead.kek1" || !p[0].Active || p[0].Clear || p[0].Check != out.Servers[0].Providers[0].Check || p[0].Check == "" {
				return fmt.Errorf("%s has providers %+v", server.Name, p)
			}
			for _, k := range server.Keys {
				switch c := k.Copies; {
				case k.KeyID == key && k.Loaded && len(c) == 1 && c[0].Readable && !c[0].Clear:
				case k.KeyID == foreign.KeyID && !k.Loaded && len(c) == 1 && !c[0].Readable && strings.Contains(c[0].Error, "awskms"):
				default:
					return fmt.Errorf("%s: key %+v", server.Name, k)
				}
			}
		}
		return nil
	})
	if err := servers[2].Shutdown(); err != nil {
		t.Fatal(err)
	}
	all, err := servers[0].KeyringStatuses(t.Context())
	if err != nil || len(all) != 3 || all[2].Error == "" {
		t.Errorf("with a server down: %d servers, %v", len(all), err)
	}
}
