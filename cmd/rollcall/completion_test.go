package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// bashCompletes completes the line's last word in bash alone and returns what is offered, and what was asked.
func bashCompletes(t *testing.T, words ...string) (offered, asked string) {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash here")
	}
	dir := t.TempDir()
	script := rollcall(t, "", "completion", "bash").out
	write := func(name, text string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("completion", script, 0o600)
	write("rollcall", "#!"+bash+"\nprintf '%s|' \"$@\" >asked\nprintf 'status:list nodes, or show one\\nidentity\\n--json:print JSON\\n'\n", 0o700)
	c := exec.CommandContext(t.Context(), bash, append([]string{"--norc", "--noprofile", "-c", `
		source ./completion
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
		_rollcall
		printf '%s\n' "${COMPREPLY[@]}"`, "bash", "./rollcall"}, words...)...)
	c.Dir, c.Env = dir, []string{"PATH=" + dir}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil {
		t.Error("completing ran what stood on the line")
	}
	got, err := os.ReadFile(filepath.Join(dir, "asked"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out)), string(got)
}

func TestCompletionInPlainBash(t *testing.T) {
	for _, c := range []struct {
		name           string
		words          []string
		offered, asked string
	}{
		{"a command", []string{"node", ""}, "status\nidentity\n--json", "node|--generate-shell-completion|"},
		{"the beginning of a command", []string{"node", "st"}, "status", "node|--generate-shell-completion|"},
		{"a flag", []string{"node", "status", "--j"}, "--json", "node|status|--j|--generate-shell-completion|"},
		{"a line that is not to be evaluated", []string{"node", "$(echo >ran)", "`echo >ran`", "st"}, "status",
			"node|$(echo >ran)|`echo >ran`|--generate-shell-completion|"},
	} {
		t.Run(c.name, func(t *testing.T) {
			offered, asked := bashCompletes(t, c.words...)
			if offered != c.offered || asked != c.asked {
				t.Errorf("offered %q, asked %q", offered, asked)
			}
		})
	}
}

func TestCompletingPastTheFlagsRunsNothing(t *testing.T) {
	got := rollcall(t, "", "config", "validate", "--", "/nowhere", "--generate-shell-completion")
	if got.code != 0 || got.out != "" || got.err != "" {
		t.Errorf("code %d, output %q, errors %q", got.code, got.out, got.err)
	}
}
