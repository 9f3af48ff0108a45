package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/rollcall-id/rollcall/structs"
)

func TestRewrapTakesStepsUntilAllIsDoneAndTellsHowFarItIs(t *testing.T) {
	c := newCluster()
	var asked []string
	c.reply["Keyring.Rewrap"] = func(args any) any {
		asked = append(asked, args.(*structs.KeyringRewrapRequest).ProviderID)
		out := structs.KeyringRewrapResponse{ProviderID: "aead.kek1", Done: len(asked) == 3, Keys: []*structs.RewrapKey{
			{KeyID: key1, State: "active", Phase: structs.RewrapDone, Copies: []string{"aead.kek1"}},
			{KeyID: key2, State: "inactive", Phase: structs.RewrapWaiting, Copies: []string{"aead", "aead.kek1"}, Waiting: []string{"s2.global: no answer"}},
		}}
		switch len(asked) {
		case 2:
			return structs.ErrNoLeader
		case 3:
			out.Keys[1] = &structs.RewrapKey{KeyID: key2, State: "inactive", Phase: structs.RewrapDone, Copies: []string{"aead.kek1"}}
		}
		return out
	}
	c.serve(t)
	res := rollcall(t, "", "operator", "root", "keyring", "rewrap")
	if res.code != exitOK {
		t.Errorf("exit code %d", res.code)
	}
	if got := strings.Join(asked, ","); got != ",aead.kek1,aead.kek1" {
		t.Errorf("asked for %q: later steps must not move keys to another provider", got)
	}
	want := []string{
		"1 of 2 root keys are wrapped by aead.kek1 alone, 1 waiting (s2.global: no answer)\n",
		"Trying again: ", "2 of 2 root keys are wrapped by aead.kek1 alone\n",
	}
	for _, line := range want {
		if !strings.Contains(res.err, line) {
			t.Errorf("standard error lacks %q:\n%s", line, res.err)
		}
	}
	if strings.Contains(res.out, "waiting") || strings.Count(res.out, "done") != 2 {
		t.Errorf("output:\n%s", res.out)
	}
}

func TestRewrapGivesUpInTimeAndSaysHowToGoOn(t *testing.T) {
	c := newCluster()
	c.reply["Keyring.Rewrap"] = structs.KeyringRewrapResponse{ProviderID: "aead.kek1", Keys: []*structs.RewrapKey{
		{KeyID: key1, State: "active", Phase: structs.RewrapWaiting, Waiting: []string{"s2.global: no answer"}},
	}}
	c.serve(t)
	res := rollcall(t, "", "operator", "root", "keyring", "rewrap", "-timeout", "10ms")
	if res.code != exitError || !strings.Contains(res.err, "run the command again to go on") {
		t.Errorf("exit code %d, standard error:\n%s", res.code, res.err)
	}
}

func TestAnInterruptedRewrapSaysHowToGoOn(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	c := newCluster()
	c.reply["Keyring.Rewrap"] = func(any) any {
		interrupt()
		return structs.KeyringRewrapResponse{ProviderID: "aead.kek1", Keys: []*structs.RewrapKey{{KeyID: key1, State: "active", Phase: structs.RewrapPending}}}
	}
	c.serve(t)
	var out, errs bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &out, err: &errs}
	if code := a.run(ctx, []string{"rollcall", "operator", "root", "keyring", "rewrap"}); code != exitError || !strings.Contains(errs.String(), "run the command again to go on") {
		t.Errorf("exit code %d, standard error:\n%s", code, &errs)
	}
}
