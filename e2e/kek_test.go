//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
)

// A server is given a wrong key-encryption key, or none, in all ways. It says in one line what is wrong and where, ends before it
// serves anybody, and harms neither its own data nor the others.
func TestAServerWithoutTheKeyEncryptionKeyIsRefused(t *testing.T) {
	t.Parallel()
	ctx, dir := scenario(t)
	c := prepareCluster(t, dir, 3, quickHeartbeats)
	o := newCustody(t, c)
	kek, other := o.kek(ctx, "kek"), o.kek(ctx, "other")
	for _, s := range c.Servers {
		o.write(s, aeadBlock("kek1", kek, true))
	}
	must(t, c.Start(ctx))
	must(t, c.WaitVoters(ctx))
	fleet := newFleet(t, ctx, c, dir+"/fleet", FleetAdd{Count: 5, Servers: c.RPCAddrs()})
	leader, err := c.WaitLeader(ctx)
	must(t, err)
	before, err := activeKey(ctx, leader.API)
	must(t, err)
	refused := c.Followers(leader)[0]

	empty, open := filepath.Join(dir, "empty"), filepath.Join(dir, "open")
	content, err := os.ReadFile(kek)
	must(t, err)
	must(t, os.WriteFile(empty, nil, 0o600))
	must(t, os.WriteFile(open, content, 0o644))
	must(t, os.Chmod(open, 0o644))
	for _, tc := range []struct{ name, blocks, want string }{
		{"another key", aeadBlock("kek1", other, true), "give this server the key (kek_file or kek_credential) that the cluster's keys were wrapped with"},
		{"the key under another name", aeadBlock("kek2", kek, true), "aead.kek1: not configured on this server"},
		{"no key", "", "aead.kek1: not configured on this server"},
		{"a file that is not there", aeadBlock("kek1", filepath.Join(dir, "none"), true), "none: stat: no such file or directory"},
		{"an empty file", aeadBlock("kek1", empty, true), empty},
		{"a file that others can read", aeadBlock("kek1", open, true), open},
	} {
		o.write(refused, tc.blocks)
		must(t, refused.Stop(ctx))
		said := len(refused.Log())
		must(t, refused.Start())
		code, err := refused.Exit(ctx)
		must(t, err)
		text := strings.TrimSpace(refused.Log()[said:])
		last := text[strings.LastIndex(text, "\n")+1:]
		if code == 0 || !strings.HasPrefix(last, "Error: ") || !strings.Contains(last, tc.want) || strings.Count(text, "Error: ") != 1 {
			t.Errorf("%s: exit code %d, and the end of the log is\n%s\nwant one line with %q", tc.name, code, refused.Tail(5), tc.want)
		}
		if strings.Contains(text, "agent started") {
			t.Errorf("%s: it was half started", tc.name)
		}
		o.write(refused, aeadBlock("kek1", kek, true))
		must(t, refused.Start())
		o.healthy(ctx, refused)
	}
	_, err = c.WaitSameState(ctx, false)
	must(t, err)
	o.wantStatus(ctx, refused, "1 of 1 root keys (100 %) are wrapped by aead.kek1 alone")
	after, err := activeKey(ctx, refused.API)
	must(t, err)
	if before.KeyID != after.KeyID {
		t.Errorf("root key %s was replaced by %s", before.KeyID, after.KeyID)
	}
	eventually(t, ctx, "have the fleet healthy", formTime, func(ctx context.Context) error { return fleet.healthy(ctx, 5) })
}

// A snapshot that is saved after a move holds the keys as the new provider has wrapped them: who has its key-encryption key restores it, and
// nobody else.
func TestASnapshotAfterAMoveNeedsTheNewKey(t *testing.T) {
	t.Parallel()
	ctx, dir := scenario(t)
	c := newCluster(t, ctx, dir+"/from", 1, quickHeartbeats)
	fleet := newFleet(t, ctx, c, dir+"/fleet", FleetAdd{Count: 3, Servers: c.RPCAddrs()})
	o := newCustody(t, c)
	kek, other := o.kek(ctx, "kek"), o.kek(ctx, "other")
	o.roll(ctx, aeadBlock("kek1", kek, true)+aeadBlock("", "", false))
	o.finish(ctx, o.startRewrap(c.Servers[0], "aead.kek1"), c.Servers[0], "aead.kek1")
	archive := saved(t, ctx, c.Servers[0], false)

	for _, tc := range []struct{ name, blocks, refusal string }{
		{"without", "", "aead.kek1: not configured on this server"},
		{"another", aeadBlock("kek1", other, true), "aead.kek1"},
		{"with", aeadBlock("kek1", kek, true), ""},
	} {
		into := configure(t, ClusterConfig{Dir: filepath.Join(dir, tc.name), Servers: 1, Token: c.Token})
		newCustody(t, into).write(into.Servers[0], tc.blocks)
		must(t, into.Start(ctx))
		s := into.Servers[0]
		before, err := s.StateDigest(ctx)
		must(t, err)
		status, text, err := s.RestoreSnapshot(ctx, archive)
		must(t, err)
		if tc.refusal != "" {
			if status == http.StatusOK || !strings.Contains(text, tc.refusal) || strings.Contains(text, "\n") {
				t.Errorf("%s its key: answered %d %q, want a refusal in one line with %q", tc.name, status, text, tc.refusal)
			}
			after, err := s.StateDigest(ctx)
			must(t, err)
			if before.Digest != after.Digest {
				t.Errorf("%s its key: the state has changed", tc.name)
			}
			continue
		}
		if status != http.StatusOK {
			t.Fatalf("%s its key: answered %d %s", tc.name, status, text)
		}
		keys := oidc.NewRemoteKeySet(ctx, s.HTTP+"/.well-known/jwks.json")
		for id, token := range fleet.Held() {
			eventually(t, ctx, "verify by the restored keys", formTime, func(ctx context.Context) error {
				_, err := keys.VerifySignature(ctx, token.Raw)
				return err
			})
			if _, err := s.API.Node(ctx, id, nil); err != nil {
				t.Error(errors.Join(fmt.Errorf("node %s after the restore", id), err))
			}
		}
	}
}
