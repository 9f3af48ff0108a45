package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/config"
	"github.com/rollcall-id/rollcall/structs"
)

func TestExitCodes(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		code int
	}{
		{"nothing wrong", nil, 0},
		{"anything", errors.New("x"), 1},
		{"wrong usage", &usageError{}, 2},
		{"a missing thing", fmt.Errorf("show: %w", &notFoundError{"x"}), 3},
		{"a 404", &api.StatusError{Code: 404, Body: "x"}, 3},
		{"a path that the server does not know", &api.StatusError{Code: 404}, 1},
		{"a node without connection", &api.StatusError{Code: 404, Body: "No path to node"}, 1},
		{"a missing node as an internal error", &api.StatusError{Code: 500, Body: "rpc error: node not found"}, 3},
		{"a missing key", &api.StatusError{Code: 500, Body: "root key not found"}, 3},
		{"denied", &api.StatusError{Code: http.StatusForbidden, Body: "Permission denied"}, 4},
		{"not logged in", &api.StatusError{Code: http.StatusUnauthorized}, 4},
		{"an expired token", &api.StatusError{Code: 500, Body: "ACL token expired"}, 4},
		{"no leader", &api.StatusError{Code: 500, Body: "rpc error: No cluster leader"}, 5},
		{"a leader that is not ready", &api.StatusError{Code: 500, Body: "Not ready to serve consistent reads"}, 5},
		{"a conflict", structs.ErrConflict, 1},
		{"said already", errReported, 1},
	} {
		if got := exitCode(tc.err); got != tc.code {
			t.Errorf("%s: exit %d, want %d", tc.name, got, tc.code)
		}
	}
}

func TestNobodyAnswers(t *testing.T) {
	got := rollcall(t, "", "node", "status", "-address", "http://127.0.0.1:1")
	if got.code != 1 || !strings.Contains(got.err, "refused") || !strings.Contains(got.err, "Is an agent running there?") {
		t.Errorf("%+v", got)
	}
}

func TestInterruption(t *testing.T) {
	newCluster().serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &out, err: &errs}
	if code := a.run(ctx, []string{"rollcall", "node", "status"}); code != 1 || errs.String() != "Interrupted\n" || out.Len() > 0 {
		t.Errorf("exit %d, %q, %q", code, out.String(), errs.String())
	}
}

func TestGlobalFlagsWorkEverywhere(t *testing.T) {
	c := newCluster()
	c.serve(t)
	for _, args := range [][]string{
		{"-region", "eu", "--token=tok", "node", "status"}, {"node", "status", "-region=eu", "-token", "tok"}, {"node", "-region", "eu", "-token", "tok", "status"},
	} {
		c.calls = nil
		if got := rollcall(t, "", args...); got.code != 0 {
			t.Errorf("%q: %+v", args, got)
		}
		if call := strings.Join(c.calls, ""); !strings.Contains(call, `"Region":"eu"`) || !strings.Contains(call, `"AuthToken":"tok"`) {
			t.Errorf("%q leads to %s", args, call)
		}
	}
}

func TestColour(t *testing.T) {
	newCluster().serve(t)
	const green = "\x1b[32mready\x1b[0m"
	run := func(terminal bool, args ...string) bool {
		t.Helper()
		var out bytes.Buffer
		a := &app{in: strings.NewReader(""), out: &out, err: &out, terminal: terminal}
		if code := a.run(t.Context(), append([]string{"rollcall", "node", "status"}, args...)); code != 0 {
			t.Fatalf("exit %d: %s", code, out.String())
		}
		if terminal && strings.Contains(out.String(), "evil-\x1b") {
			t.Errorf("a node's name reaches the terminal as it is: %q", out.String())
		}
		return strings.Contains(out.String(), green)
	}
	if run(false) || !run(true) || run(true, "-no-color") || !run(false, "-force-color") || run(false, "-force-color", "-no-color") {
		t.Error("colour does not follow the terminal and the flags")
	}
	run(true, "-t", "{{range .}}{{.Name}}{{end}}")
	t.Setenv("NO_COLOR", "1")
	if run(true) || !run(true, "-force-color") {
		t.Error("colour does not follow NO_COLOR")
	}
}

func TestVersion(t *testing.T) {
	got := rollcall(t, "", "version")
	if got.code != 0 || !strings.HasPrefix(got.out, "Rollcall v") {
		t.Errorf("%+v", got)
	}
	var info map[string]string
	if err := json.Unmarshal([]byte(rollcall(t, "", "version", "-json").out), &info); err != nil || info["CompatBuild"] == "" {
		t.Errorf("%v, %v", info, err)
	}
	if got := rollcall(t, "", "--version"); got.code != 0 || !strings.HasPrefix(got.out, "rollcall version ") {
		t.Errorf("%+v", got)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if got := rollcall(t, "", "completion", shell); got.code != 0 || !strings.Contains(got.out, "rollcall") || !strings.Contains(got.out, "--generate-shell-completion") {
			t.Errorf("%s: exit %d\n%s", shell, got.code, got.out)
		}
	}
	if got := rollcall(t, "", "completion", "tcsh"); got.code != 2 {
		t.Errorf("an unknown shell: %+v", got)
	}
	got := rollcall(t, "", "node", "pool", "--generate-shell-completion")
	for _, name := range []string{"list", "info", "nodes", "apply", "delete", "init"} {
		if !slices.ContainsFunc(strings.Fields(got.out), func(w string) bool { return strings.HasPrefix(w, name) }) {
			t.Errorf("%s is not offered after node pool:\n%s", name, got.out)
		}
	}
	if got := rollcall(t, "", "node", "status", "--ver", "--generate-shell-completion"); !strings.Contains(got.out, "--verbose") {
		t.Errorf("flags are not offered: %+v", got)
	}
}

// parseAgent runs the agent's flags up to the configuration.
func parseAgent(t *testing.T, args ...string) (*config.Config, error) {
	t.Helper()
	a := &app{in: strings.NewReader(""), out: &bytes.Buffer{}, err: &bytes.Buffer{}}
	c := a.agentCommand()
	c.DisableSliceFlagSeparator = true
	var cfg *config.Config
	c.Action = func(_ context.Context, c *cli.Command) (err error) {
		cfg, err = agentConfig(c)
		return err
	}
	c.ExitErrHandler = func(context.Context, *cli.Command, error) {}
	err := c.Run(t.Context(), append([]string{"agent"}, args...))
	return cfg, err
}

func TestAgentFlagsWinOverFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.hcl")
	src := "data_dir = \"" + dir + "\"\nname = \"from-file\"\nlog_level = \"warn\"\nserver {\n enabled = true\n bootstrap_expect = 3\n" +
		" server_join { retry_join = [\"10.0.0.1\"] }\n}\nclient {\n meta { a = \"1\" }\n}\n"
	if err := os.WriteFile(file, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := parseAgent(t, "-config", file, "-bind", "127.0.0.1", "-node", "from-flag", "-log-json", "-bootstrap-expect=1",
		"-retry-join", "10.0.0.2", "--retry-join=10.0.0.3:99", "-client", "-meta", "b=2,3", "-node-class", "big", "-servers", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%s %s %v %d %v %v %s %v", cfg.Name, cfg.LogLevel, cfg.LogJSON, cfg.Server.BootstrapExpect,
		cfg.Server.ServerJoin.RetryJoin, cfg.Client.Meta, cfg.Client.NodeClass, cfg.Client.Servers)
	want := "from-flag warn true 1 [10.0.0.1:4648 10.0.0.2:4648 10.0.0.3:99] map[a:1 b:2,3] big [127.0.0.1:4647]"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestEveryAgentFlagIsASetting(t *testing.T) {
	for _, s := range settings {
		value := map[settingKind]string{textSetting: "x", boolSetting: "true", numberSetting: "7", listSetting: "a=b"}[s.kind]
		if err := config.DefaultConfig().Override(s.key, value, "-"+s.flag); err != nil {
			t.Errorf("-%s: %v", s.flag, err)
		}
	}
}

func TestAgentConfigMistakes(t *testing.T) {
	var usage *usageError
	if _, err := parseAgent(t); !errors.As(err, &usage) {
		t.Errorf("nothing to run: %v", err)
	}
	if _, err := parseAgent(t, "-config", "/does/not/exist"); err == nil || errors.As(err, &usage) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := parseAgent(t, "-dev", "-meta", "novalue"); !errors.As(err, &usage) || !strings.Contains(err.Error(), "-meta") {
		t.Errorf("a bad map: %v", err)
	}
}

func TestDevRunsBothWhateverTheFilesSay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.json")
	if err := os.WriteFile(path, []byte(`{"server":{"enabled":true,"bootstrap_expect":1},"client":{"enabled":false}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := parseAgent(t, "-dev", "-config", path)
	if err != nil || !cfg.Server.Enabled || !cfg.Client.Enabled {
		t.Errorf("server %v, client %v, error %v", cfg.Server.Enabled, cfg.Client.Enabled, err)
	}
}

func TestTheEnvironmentsIntroductionWins(t *testing.T) {
	for _, c := range []struct{ name, ours, theirs, flag, want string }{
		{name: "nothing"},
		{name: "the flag", flag: "flag", want: "flag"},
		{name: "the compatible variable over the flag", theirs: "nomad", flag: "flag", want: "nomad"},
		{name: "our variable over both", ours: "rollcall", theirs: "nomad", flag: "flag", want: "rollcall"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, value := range map[string]string{"ROLLCALL_CLIENT_INTRO_TOKEN": c.ours, "NOMAD_CLIENT_INTRO_TOKEN": c.theirs} {
				if value != "" {
					t.Setenv(name, value)
				}
			}
			if got := introToken(c.flag); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
