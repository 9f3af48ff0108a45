//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/structs"
)

// frontDoor is the issuer's address as verifiers know it: a balancer before all servers. Each request goes to one of them, and
// to the next if that one can't be reached, breaks off or says that it is not available (503); once each, without a pause.
type frontDoor struct {
	servers []*Server
	next    atomic.Uint64
	// turns counts the requests that did not get their answer from the first server asked.
	turns atomic.Uint64
}

func (d *frontDoor) RoundTrip(req *http.Request) (*http.Response, error) {
	first := d.next.Add(1)
	var failed error
	for i := range d.servers {
		s := d.servers[(first+uint64(i))%uint64(len(d.servers))]
		to, err := url.Parse(s.HTTP)
		if err != nil {
			return nil, err
		}
		again := req.Clone(req.Context())
		again.URL.Host = to.Host
		res, err := http.DefaultTransport.RoundTrip(again)
		if err == nil && res.StatusCode != http.StatusServiceUnavailable {
			return res, nil
		}
		if err == nil {
			text, _ := io.ReadAll(io.LimitReader(res.Body, maxAnswer)) // only for the report
			err = errors.Join(fmt.Errorf("%s: %s", res.Status, text), res.Body.Close())
		}
		d.turns.Add(1)
		failed = errors.Join(failed, fmt.Errorf("%s: %w", s.Name, err))
	}
	return nil, failed
}

// identityLoad is what goes on while an operator works on the root keys: nodes renew, come new, and are verified by somebody else;
// root keys are rotated and removed. Its failures are those that a user would see:
//
//   - a node that does not get its first identity, that servers marked down, or that let its identity expire: the client repeats
//     what fails, as everywhere, and has five seconds for a renewal here;
//   - a fetch of the JWKS that no server answers at the first attempt, or that lacks the key of an identity that a node holds;
//   - an identity that a node holds, or one of those kept from before the first move, that does not verify.
type identityLoad struct {
	t     *testing.T
	c     *Cluster
	fleet *Fleet
	nodes int
	door  *frontDoor
	kept  []Token // of the pool that renews after hours; from before everything

	work    sync.WaitGroup
	cancel  context.CancelFunc
	mu      sync.Mutex // guards failed
	failed  error
	fetches atomic.Uint64
	checks  atomic.Uint64
	rotated atomic.Uint64
	removed atomic.Uint64
	// repeated counts the heartbeats that nodes sent again.
	repeated atomic.Uint64
	// lastRotation is rotateKeys's.
	lastRotation time.Time
}

// startLoad registers the nodes and starts the rest.
func startLoad(t *testing.T, ctx context.Context, c *Cluster, dir string) *identityLoad {
	t.Helper()
	newPool(t, ctx, c.Servers[0].API, "brief", 15*time.Second) // renewed when 5 s are left
	newPool(t, ctx, c.Servers[0].API, "long", 12*time.Hour)
	l := &identityLoad{t: t, c: c, door: &frontDoor{servers: c.Servers}}
	const long, brief = 5, 40
	l.fleet = newFleet(t, ctx, c, dir+"/fleet", FleetAdd{Count: long, Pool: "long", Servers: c.RPCAddrs()})
	for _, token := range l.fleet.Held() {
		l.kept = append(l.kept, token)
	}
	l.nodes = long
	l.grow(ctx, brief)
	ctx, l.cancel = context.WithCancel(ctx)
	t.Cleanup(l.cancel)
	verifier, err := newFrontVerifier(ctx, c.Issuer, l.door)
	must(t, err)
	for _, loop := range []func(context.Context) error{
		l.fetchKeys, l.watchNodes, l.watchFleet, l.rotateKeys,
		func(ctx context.Context) error { return l.verify(ctx, verifier) },
	} {
		l.work.Go(func() { l.repeat(ctx, loop) })
	}
	return l
}

// newFrontVerifier finds the keys by discovery through the balancer.
func newFrontVerifier(ctx context.Context, issuer string, door *frontDoor) (*oidc.IDTokenVerifier, error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, &http.Client{Transport: door}), issuer)
	if err != nil {
		return nil, fmt.Errorf("discover issuer %s: %w", issuer, err)
	}
	return provider.Verifier(&oidc.Config{ClientID: structs.IdentityAudience}), nil
}

// repeat calls f until ctx ends, and notes what fails before.
func (l *identityLoad) repeat(ctx context.Context, f func(context.Context) error) {
	pause := time.NewTicker(pollInterval)
	defer pause.Stop()
	for {
		if err := f(ctx); err != nil && ctx.Err() == nil {
			l.mu.Lock()
			l.failed = errors.Join(l.failed, fmt.Errorf("%s: %w", time.Now().Format(time.TimeOnly), err))
			l.mu.Unlock()
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
	}
}

// ok fails the test as soon as anything of the load has.
func (l *identityLoad) ok() {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	must(l.t, l.failed)
}

// stop ends the load and says what there was.
func (l *identityLoad) stop() {
	l.t.Helper()
	l.cancel()
	l.work.Wait()
	l.ok()
	l.t.Logf("%d nodes were given %d identities; %d JWKS fetches, %d verifications, %d rotations, %d keys removed; %d requests went to another server, %d heartbeats were repeated",
		l.nodes, len(l.fleet.Tokens(0)), l.fetches.Load(), l.checks.Load(), l.rotated.Load(), l.removed.Load(), l.door.turns.Load(), l.repeated.Load())
}

// grow adds nodes that have never been there, and waits until they hold identities.
func (l *identityLoad) grow(ctx context.Context, count int) {
	l.t.Helper()
	must(l.t, l.fleet.Add(FleetAdd{Count: count, Pool: "brief", Servers: l.c.RPCAddrs()}))
	l.nodes += count
	eventually(l.t, ctx, "register more nodes", time.Minute, func(ctx context.Context) error { return l.fleet.healthy(ctx, l.nodes) })
}

// heldStill are the tokens of held that their nodes still hold.
func (l *identityLoad) heldStill(held map[string]Token) map[string]Token {
	now := l.fleet.Held()
	for id, token := range held {
		if now[id].Raw != token.Raw {
			delete(held, id)
		}
	}
	return held
}

// fetchKeys fetches the JWKS, which must have the keys of all identities that are held before and after.
func (l *identityLoad) fetchKeys(ctx context.Context) error {
	held := l.fleet.Held()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.c.Issuer+"/.well-known/jwks.json", nil)
	if err != nil {
		return err
	}
	var set struct{ Keys []struct{ Kid string } }
	if err := doJSONBy(&http.Client{Transport: l.door}, req, &set); err != nil {
		return fmt.Errorf("fetch JWKS: %w", err)
	}
	l.fetches.Add(1)
	known := map[string]bool{}
	for _, k := range set.Keys {
		known[k.Kid] = true
	}
	for id, token := range l.heldStill(held) {
		if !known[token.KeyID] {
			return fmt.Errorf("the JWKS has %d keys, none of them %s, under which node %s holds an identity", len(known), token.KeyID, id)
		}
	}
	return nil
}

// verify verifies what is held, and what was kept.
func (l *identityLoad) verify(ctx context.Context, v *oidc.IDTokenVerifier) error {
	held := l.fleet.Held()
	for id, token := range held {
		if _, err := v.Verify(ctx, token.Raw); err != nil {
			if len(l.heldStill(map[string]Token{id: token})) == 0 {
				continue // the node has replaced it meanwhile, and its key may be gone
			}
			return fmt.Errorf("identity of node %s under key %s, issued at %s: %w", id, token.KeyID, token.IssuedAt, err)
		}
		l.checks.Add(1)
	}
	for _, token := range l.kept {
		if _, err := v.Verify(ctx, token.Raw); err != nil {
			return fmt.Errorf("identity from before, of node %s: %w", token.NodeID, err)
		}
		l.checks.Add(1)
	}
	return nil
}

// watchFleet asks the nodes.
func (l *identityLoad) watchFleet(ctx context.Context) error {
	status, err := l.fleet.Status(context.WithoutCancel(ctx)) // a question that is cut short would spoil the next
	if err != nil {
		return err
	}
	l.repeated.Store(status.Failures)
	for id, token := range l.fleet.Held() {
		if time.Now().After(token.Expiry) {
			return fmt.Errorf("node %s let its identity expire at %s", id, token.Expiry)
		}
	}
	return nil
}

// watchNodes looks for nodes that servers take for down, at one server that can be read from.
func (l *identityLoad) watchNodes(ctx context.Context) error {
	for _, s := range l.c.Servers {
		list, err := nodesWith(ctx, s.API, &api.QueryOptions{AllowStale: true})
		if err != nil {
			continue // it is being restarted
		}
		for id, n := range list {
			if n.Status == structs.NodeStatusDown {
				return fmt.Errorf("node %s is down", id)
			}
		}
		return nil
	}
	return nil
}

// rotateKeys makes a key active and removes one that nothing uses. Either may be refused: there is no leader for a moment, or not
// every server is configured to read what the leader would wrap.
func (l *identityLoad) rotateKeys(ctx context.Context) error {
	n := l.rotated.Load() + l.removed.Load()
	a := l.c.Servers[n%uint64(len(l.c.Servers))].API
	keys, err := a.Keys(ctx, nil)
	if err != nil {
		a = l.c.Servers[(n+1)%uint64(len(l.c.Servers))].API
		if keys, err = a.Keys(ctx, nil); err != nil {
			return nil
		}
	}
	const most = 12
	for _, k := range keys.Value {
		if k.State == structs.KeyStateInactive && time.Since(time.Unix(0, k.CreateTime)) > 20*time.Second && a.DeleteKey(ctx, k.KeyID, false, nil) == nil {
			l.removed.Add(1)
		}
	}
	if len(keys.Value) < most && time.Since(l.lastRotation) > time.Second {
		if _, err := a.RotateKey(ctx, api.RotateOptions{}, nil); err == nil {
			l.lastRotation = time.Now()
			l.rotated.Add(1)
		}
	}
	return nil
}

// renewed waits until a new root key has been made and every node that renews soon holds an identity under a key that was not
// there before.
func (l *identityLoad) renewed(ctx context.Context) {
	l.t.Helper()
	keys, err := l.c.Servers[0].API.Keys(ctx, nil)
	must(l.t, err)
	before := map[string]bool{}
	for _, k := range keys.Value {
		before[k.KeyID] = true
	}
	kept := map[string]bool{}
	for _, token := range l.kept {
		kept[token.NodeID] = true
	}
	eventually(l.t, ctx, "renew under a key that is new", time.Minute, func(context.Context) error {
		for id, token := range l.fleet.Held() {
			if !kept[id] && before[token.KeyID] {
				return fmt.Errorf("node %s holds an identity under key %s, which there was before", id, token.KeyID)
			}
		}
		return nil
	})
	l.ok()
}
