package config

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLaterFilesWinListsGrowAndMapsMerge(t *testing.T) {
	t.Parallel()
	dir, extra := t.TempDir(), t.TempDir()
	write(t, dir, map[string]string{
		"20-b.json": `{"region": "second", "server": {"enabled": false, "bootstrap_expect": 0, "server_join": {"retry_join": ["b", "a"]}},
			"keyring": {"aead": {"active": false}, "transit": {"address": "y"}}}`,
		"10-a.hcl": `
			region = "first"
			datacenter = "kept"
			server {
				enabled = true
				bootstrap_expect = 3
				server_join { retry_join = ["a"] }
			}
			client { meta = { x = "1", y = "1" } }
			keyring "aead" {
				active = true
				kek_file = "/k"
			}
			keyring "transit" { token = "t" }`,
		"30-c.hcl":    `client { meta = { y = "2", z = "2" } }`,
		".hidden.hcl": `region = "hidden"`,
		"note.txt":    `region = "text"`,
		"a.hcl~":      `region = "backup"`,
	})
	write(t, extra, map[string]string{"last.hcl": `log_level = "error"`})
	base := DefaultConfig()
	got, err := Load(base, dir, filepath.Join(extra, "last.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultConfig()
	want.Region, want.Datacenter, want.LogLevel = "second", "kept", "error"
	want.Server.ServerJoin.RetryJoin = []string{"a", "b"}
	want.Client.Meta = map[string]string{"x": "1", "y": "2", "z": "2"}
	want.Keyrings = []Keyring{{Provider: "aead", KEKFile: "/k"},
		{Provider: "transit", Options: map[string]string{"token": "t", "address": "y"}}}
	want.Files = []string{filepath.Join(dir, "10-a.hcl"), filepath.Join(dir, "20-b.json"), filepath.Join(dir, "30-c.hcl"),
		filepath.Join(extra, "last.hcl")}
	if diff := cmp.Diff(want, got, plain); diff != "" {
		t.Errorf("configuration differs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(DefaultConfig(), base, plain); diff != "" {
		t.Errorf("the base was changed: %s", diff)
	}
}

func TestLoadTellsWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	nested := filepath.Join(dir, "nested")
	for _, d := range []string{empty, nested, filepath.Join(nested, "sub.hcl")} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	pipe := filepath.Join(dir, "pipe.hcl")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{"big.hcl": strings.Repeat("#", maxFileSize+1), "full.hcl": strings.Repeat("#", maxFileSize)})
	for _, tc := range []struct{ name, path, want string }{
		{"a missing file", filepath.Join(dir, "none.hcl"), "read configuration: stat " + dir + "/none.hcl: no such file or directory"},
		{"an empty directory", empty, "read configuration: directory " + empty + " holds no *.hcl or *.json file"},
		{"a pipe", pipe, "read configuration: " + pipe + " is not a regular file"},
		{"a directory named like a file", nested, "read configuration: " + nested + "/sub.hcl is not a regular file"},
		{"a file too large", filepath.Join(dir, "big.hcl"), "read configuration: " + dir + "/big.hcl has more than 1048576 bytes"},
		{"a file of just the largest size", filepath.Join(dir, "full.hcl"), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := Load(DefaultConfig(), tc.path)
			if got := strings.Join(errorLines(err), "\n"); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestLoadTellsTheProblemsOfAllFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{"a.hcl": "x1 = 1", "b.json": `{"x2": 1}`})
	_, err := Load(DefaultConfig(), dir, "/does/not/exist")
	want := []string{
		"read configuration: stat /does/not/exist: no such file or directory",
		dir + `/a.hcl:1: unknown setting or block "x1" in the top level`,
		dir + `/b.json:1: unknown setting or block "x2" in the top level`,
	}
	if diff := cmp.Diff(want, errorLines(err)); diff != "" {
		t.Errorf("errors differ (-want +got):\n%s", diff)
	}
}

func TestLoadBoundsTheNumberOfFiles(t *testing.T) {
	t.Parallel()
	_, err := Load(DefaultConfig(), make([]string, 0)...)
	if err != nil {
		t.Fatalf("no files at all: %v", err)
	}
	dir := t.TempDir()
	write(t, dir, map[string]string{"a.hcl": ""})
	paths := make([]string, maxFiles+1)
	for i := range paths {
		paths[i] = dir
	}
	if _, err := Load(DefaultConfig(), paths...); err == nil || err.Error() != "read configuration: 257 files, at most 256 are read" {
		t.Errorf("got %v", err)
	}
}

func TestParseBoundsTheSize(t *testing.T) {
	t.Parallel()
	if _, err := Parse(DefaultConfig(), "a.hcl", make([]byte, maxFileSize+1)); err == nil ||
		err.Error() != "read configuration: a.hcl has more than 1048576 bytes" {
		t.Errorf("got %v", err)
	}
}

func TestCopySharesNothing(t *testing.T) {
	t.Parallel()
	c, err := Load(DefaultConfig(), "testdata/example.hcl")
	if err != nil {
		t.Fatal(err)
	}
	c.Keyrings[0].Options = map[string]string{"a": "b"}
	c.Server.ServerJoin.StartJoin, c.Client.ServerJoin.StartJoin = []string{"s"}, []string{"s"}
	c.Client.ServerJoin.RetryJoin, c.TLS.CipherSuites, c.Listen.HTTP = []string{"s"}, []string{"s"}, []string{"s"}
	before := c.Copy()
	d := c.Copy()
	d.Client.Meta["rack"], d.Keyrings[0].Options["a"], d.Files[0], d.Keyrings[1].Name = "x", "x", "x", "x"
	for _, list := range [][]string{d.Server.ServerJoin.RetryJoin, d.Server.ServerJoin.StartJoin, d.Client.Servers,
		d.Client.ServerJoin.RetryJoin, d.Client.ServerJoin.StartJoin, d.TLS.CipherSuites, d.Listen.HTTP} {
		list[0] = "x"
	}
	d.origin["region"] = Pos{}
	if diff := cmp.Diff(before, c, plain); diff != "" {
		t.Errorf("changing the copy changed the original: %s", diff)
	}
	if c.at("region") == (Pos{}) {
		t.Error("the copy shares origins")
	}
}
