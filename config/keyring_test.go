package config

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestActiveKeyringIsPlainAEADUnlessConfigured(t *testing.T) {
	t.Parallel()
	c := DefaultConfig()
	if diff := cmp.Diff(Keyring{Provider: "aead", Active: true}, c.ActiveKeyring(), plain); diff != "" {
		t.Errorf("without a block: %s", diff)
	}
	c.Keyrings = []Keyring{{Provider: "aead"}, {Provider: "aead", Name: "b", Active: true}}
	if got := c.ActiveKeyring().ProviderID(); got != "aead.b" {
		t.Errorf("active is %s", got)
	}
	if got := c.Keyrings[0].ProviderID(); got != "aead" {
		t.Errorf("a block without name is %s", got)
	}
}

func TestReadKEK(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte{7}, 32)
	text := base64.StdEncoding.EncodeToString(key)
	for _, tc := range []struct {
		name, content string
		mode          os.FileMode
		want          string // what the error ends with, empty for success
	}{
		{"a key passes", text, 0o600, ""},
		{"a key with a newline passes", text + "\n", 0o400, ""},
		{"a file for everyone is refused", text, 0o644, "mode 0644 lets others in, set it to 0600 or 0400"},
		{"a key too short is refused", text[4:], 0o600, "must hold 32 bytes in standard base64 (make one with: openssl rand -base64 32)"},
		{"what is no base64 is refused", "%" + text[1:], 0o600, "must hold 32 bytes in standard base64 (make one with: openssl rand -base64 32)"},
		{"a large file is refused", strings.Repeat("A", 1025), 0o600, "must be a regular file of at most 1024 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "kek")
			if err := os.WriteFile(file, []byte(tc.content), tc.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, tc.mode); err != nil {
				t.Fatal(err)
			}
			got, err := Keyring{KEKFile: file}.ReadKEK()
			if tc.want == "" {
				if err != nil || !bytes.Equal(got, key) {
					t.Errorf("got %d bytes, error %v", len(got), err)
				}
				return
			}
			if err == nil || !strings.HasSuffix(err.Error(), file+": "+tc.want) {
				t.Fatalf("got %v, want ...: %s", err, tc.want)
			}
			if strings.Contains(err.Error(), tc.content) {
				t.Error("the error holds the content")
			}
		})
	}
	if _, err := (Keyring{KEKFile: t.TempDir()}).ReadKEK(); err == nil {
		t.Error("a directory passed")
	}
	if _, err := (Keyring{KEKFile: "/does/not/exist"}).ReadKEK(); err == nil {
		t.Error("a missing file passed")
	}
}
