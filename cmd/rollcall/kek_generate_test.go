package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollcall-id/rollcall/config"
)

func TestKEKGenerateMakesAKeyThatTheAgentTakesAndShowsItToNobody(t *testing.T) {
	dir := t.TempDir()
	var keys []string
	for _, name := range []string{"one", "two"} {
		file := filepath.Join(dir, name)
		res := rollcall(t, "", "operator", "root", "keyring", "kek", "generate", file)
		if res.code != exitOK {
			t.Fatalf("exit code %d: %s", res.code, res.err)
		}
		kek, err := config.Keyring{Provider: "aead", KEKFile: file}.ReadKEK()
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if shown := res.out + res.err; strings.Contains(shown, strings.TrimSpace(string(content))) || strings.Contains(shown, string(kek)) {
			t.Error("the key was printed")
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
		}
		keys = append(keys, string(kek))
	}
	if keys[0] == keys[1] {
		t.Error("two calls made the same key")
	}
}

func TestKEKGenerateNeverOverwrites(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "kek")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link, filepath.Join(dir, "no", "such", "folder"), dir} {
		res := rollcall(t, "", "operator", "root", "keyring", "kek", "generate", path)
		if res.code != exitError || !strings.Contains(res.err, path) {
			t.Errorf("%s: exit code %d, %s", path, res.code, res.err)
		}
	}
	if content, err := os.ReadFile(file); err != nil || string(content) != "precious" {
		t.Errorf("the file now holds %q, %v", content, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "elsewhere")); err == nil {
		t.Error("the key was written through a link")
	}
	if res := rollcall(t, "", "operator", "root", "keyring", "kek", "generate"); res.code != exitUsage {
		t.Errorf("without a file: exit code %d", res.code)
	}
}
