//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/internal/transitserver"
)

// custody is an operator who changes what wraps the root keys of a cluster, as docs/operations.md says.
type custody struct {
	t    *testing.T
	c    *Cluster
	base map[*Server][]byte // configuration without keyring blocks
	runs int
}

func newCustody(t *testing.T, c *Cluster) *custody {
	t.Helper()
	o := &custody{t: t, c: c, base: map[*Server][]byte{}}
	for _, s := range c.Servers {
		text, err := os.ReadFile(s.Config)
		must(t, err)
		o.base[s] = text
	}
	return o
}

// kek makes a key-encryption key with the command for it and returns its path.
func (o *custody) kek(ctx context.Context, name string) string {
	o.t.Helper()
	path := filepath.Join(o.c.dir, name)
	commandOK(o.t, ctx, o.c, nil, "operator", "root", "keyring", "kek", "generate", path)
	return path
}

// aeadBlock is a keyring block for a key-encryption key in a file; without a path that for keys which lie beside what they wrap.
func aeadBlock(name, kekFile string, active bool) string {
	if kekFile == "" {
		return fmt.Sprintf("keyring \"aead\" {\n  active = %t\n}\n", active)
	}
	return fmt.Sprintf("keyring \"aead\" {\n  active = %t\n  name = %q\n  kek_file = %q\n}\n", active, name, kekFile)
}

func transitBlock(kms *transitserver.Server, tokenFile string, active bool) string {
	return fmt.Sprintf("keyring \"transit\" {\n  active = %t\n  address = %q\n  token = %q\n  mount_path = \"transit\"\n  key_name = \"rollcall\"\n}\n",
		active, kms.URL, "file://"+tokenFile)
}

// write gives a server these keyring blocks, from its next start on.
func (o *custody) write(s *Server, blocks string) {
	o.t.Helper()
	must(o.t, os.WriteFile(s.Config, append(o.base[s][:len(o.base[s]):len(o.base[s])], blocks...), 0o600))
}

// roll gives all servers these keyring blocks: it restarts one after the other, the leader last, and waits for health in between.
func (o *custody) roll(ctx context.Context, blocks string) {
	o.t.Helper()
	leader, err := o.c.WaitLeader(ctx)
	must(o.t, err)
	for _, s := range append(o.c.Followers(leader), leader) {
		o.write(s, blocks)
		must(o.t, s.Stop(ctx))
		must(o.t, s.Start())
		o.healthy(ctx, s)
	}
}

// healthy waits until autopilot says, through the server that was restarted, that all are.
func (o *custody) healthy(ctx context.Context, through *Server) {
	o.t.Helper()
	eventually(o.t, ctx, "be healthy", formTime, func(ctx context.Context) error {
		text, code := command(o.t, ctx, o.c, "operator", "autopilot", "health", "-address", through.HTTP)
		if code != 0 {
			return fmt.Errorf("operator autopilot health: exit code %d\n%s", code, text)
		}
		if strings.Count(text, "alive") != len(o.c.Servers) {
			return fmt.Errorf("not all servers are there\n%s", text)
		}
		return nil
	})
}

// status is what the command for it says through the server: its last line, and all of it.
func (o *custody) status(ctx context.Context, through *Server) (last, all string) {
	o.t.Helper()
	text, code := command(o.t, ctx, o.c, "operator", "root", "keyring", "status", "-address", through.HTTP)
	if code != 0 {
		o.t.Fatalf("operator root keyring status: exit code %d\n%s", code, text)
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1], text
}

// wantStatus waits until the last line of status has the text: a key that is made just now may not be everywhere yet.
func (o *custody) wantStatus(ctx context.Context, through *Server, want string) {
	o.t.Helper()
	eventually(o.t, ctx, "be told by status", 30*time.Second, func(ctx context.Context) error {
		if last, all := o.status(ctx, through); !strings.Contains(last, want) {
			return fmt.Errorf("it does not end with %q:\n%s", want, all)
		}
		return nil
	})
}

// startRewrap starts to move the root keys.
func (o *custody) startRewrap(through *Server, to string) *Process {
	o.t.Helper()
	o.runs++
	p, err := o.c.Group.Start(Command{
		Name: fmt.Sprintf("rewrap-%d", o.runs), Path: o.c.Binary(), Env: through.Env(),
		Args: []string{"operator", "root", "keyring", "rewrap", "-to", to, "-timeout", "2m"},
	})
	must(o.t, err)
	return p
}

// finish waits for the end of a rewrap that must have moved everything.
func (o *custody) finish(ctx context.Context, p *Process, through *Server, to string) {
	o.t.Helper()
	code, err := p.Exit(ctx)
	must(o.t, err)
	if code != 0 || !strings.Contains(p.Log(), "root keys are wrapped by "+to+" alone") {
		o.t.Fatalf("rewrap ended with code %d:\n%s", code, p.Log())
	}
	o.wantStatus(ctx, through, "(100 %) are wrapped by "+to+" alone")
}

// said waits until the process has said it.
func said(t *testing.T, ctx context.Context, p *Process, text string) {
	t.Helper()
	eventually(t, ctx, "hear "+text, time.Minute, func(context.Context) error {
		switch {
		case strings.Contains(p.Log(), text):
			return nil
		case !p.Running():
			return Final(fmt.Errorf("it has ended:\n%s", p.Log()))
		}
		return errors.New(p.Log())
	})
}

// Root keys move from the form in which they open themselves to a key-encryption key, to another one and to a transit service,
// each time by the documented steps, while nodes come, renew and are verified and root keys are rotated. No user sees a failure
// (identityLoad says what counts as one); the command is interrupted once, and once the leader is killed while it works. In the
// end the servers run without anything of the earlier providers.
func TestRootKeysMoveBetweenProvidersUnderLoad(t *testing.T) {
	ctx, dir := longScenario(t, 8*time.Minute)
	c := newCluster(t, ctx, dir, 3, "min_heartbeat_ttl = \"1s\"\nmax_heartbeats_per_second = 1000")
	must(t, c.WaitVoters(ctx))
	load := startLoad(t, ctx, c, dir)
	o := newCustody(t, c)
	o.wantStatus(ctx, c.Servers[0], "are wrapped by aead (key beside it) alone")

	// From no key-encryption key to one.
	first := o.kek(ctx, "kek1")
	o.roll(ctx, aeadBlock("kek1", first, true)+aeadBlock("", "", false))
	load.ok()
	o.wantStatus(ctx, c.Servers[0], "are wrapped by aead.kek1 alone")
	o.finish(ctx, o.startRewrap(c.Servers[0], "aead.kek1"), c.Servers[1], "aead.kek1")
	load.grow(ctx, 3)
	load.renewed(ctx)
	o.roll(ctx, aeadBlock("kek1", first, true))
	load.ok()

	// From one key-encryption key to the next. A server is away, so that the command has to wait, and is interrupted.
	second := o.kek(ctx, "kek2")
	o.roll(ctx, aeadBlock("kek2", second, true)+aeadBlock("kek1", first, false))
	away := c.Servers[2]
	must(t, away.Stop(ctx))
	p := o.startRewrap(c.Servers[0], "aead.kek2")
	said(t, ctx, p, away.Name+".global: no answer")
	must(t, p.Signal(syscall.SIGINT))
	code, err := p.Exit(ctx)
	must(t, err)
	if code == 0 || !strings.Contains(p.Log(), "run the command again to go on") {
		t.Errorf("the interrupted command ended with code %d and said:\n%s", code, p.Log())
	}
	if last, all := o.status(ctx, c.Servers[0]); !strings.Contains(last, "(0 %) are wrapped by aead.kek2 alone") {
		t.Errorf("with a server away, status does not say that nothing is moved for it:\n%s", all)
	}
	must(t, away.Start())
	o.healthy(ctx, away)
	o.finish(ctx, o.startRewrap(c.Servers[1], "aead.kek2"), c.Servers[0], "aead.kek2")
	load.grow(ctx, 3)
	load.renewed(ctx)
	must(t, os.Remove(first))
	o.roll(ctx, aeadBlock("kek2", second, true))
	load.ok()

	o.toTransit(ctx, load, second)
	load.stop()
}

// toTransit moves the keys to a transit service, and kills the leader while it waits for that.
func (o *custody) toTransit(ctx context.Context, load *identityLoad, kekFile string) {
	t, c := o.t, o.c
	t.Helper()
	const token = "kms-token-of-the-scenario"
	kms := transitserver.Start("rollcall", token)
	t.Cleanup(kms.Close)
	tokenFile := filepath.Join(c.dir, "kms-token")
	must(t, os.WriteFile(tokenFile, []byte(token+"\n"), 0o600))
	o.roll(ctx, transitBlock(kms, tokenFile, true)+aeadBlock("kek2", kekFile, false))
	load.ok()

	leader, err := c.WaitLeader(ctx)
	must(t, err)
	through := c.Followers(leader)[0]
	release := kms.Hold()
	before := kms.Calls("encrypt")
	p := o.startRewrap(through, "transit")
	eventually(t, ctx, "have the leader wrap", time.Minute, func(context.Context) error {
		if kms.Calls("encrypt") == before {
			return errors.New("the service was not asked")
		}
		return nil
	})
	must(t, leader.Kill())
	release()
	_, err = c.WaitLeader(ctx)
	must(t, err)
	said(t, ctx, p, leader.Name+".global: no answer")
	load.ok()
	must(t, leader.Start())
	o.finish(ctx, p, through, "transit")
	o.healthy(ctx, leader)
	load.grow(ctx, 3)
	load.renewed(ctx)
	must(t, os.Remove(kekFile))
	o.roll(ctx, transitBlock(kms, tokenFile, true))
	load.ok()
	load.grow(ctx, 3)
	load.renewed(ctx)
	o.wantStatus(ctx, through, "(100 %) are wrapped by transit alone")
	// What was issued before all of it is still taken by the servers themselves.
	for _, held := range load.kept {
		holder, err := api.New(api.Config{Address: through.HTTP, Token: held.Raw})
		must(t, err)
		_, err = holder.Node(ctx, held.NodeID, nil)
		holder.Close()
		must(t, err)
	}
}
