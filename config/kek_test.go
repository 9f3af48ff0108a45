package config

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadKEK(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte{7}, 32)
	text := base64.StdEncoding.EncodeToString(key)
	const form = "must hold 32 bytes, as they are or in standard base64 (make one with: rollcall operator root keyring kek generate FILE)"
	for _, tc := range []struct {
		name, content string
		mode          os.FileMode
		want          string // what the error ends with, empty for success
	}{
		{"a key passes", text, 0o600, ""},
		{"a key with a newline passes", text + "\n", 0o400, ""},
		{"a key of plain bytes passes", string(key), 0o400, ""},
		{"plain bytes that look like white space are a key", strings.Repeat("\n", 32), 0o400, ""},
		{"a file for everyone is refused", text, 0o644, "mode 0644 lets others in, set it to 0600 or 0400"},
		{"a file for the group is refused", text, 0o640, "mode 0640 lets others in, set it to 0600 or 0400"},
		{"a key too short is refused", text[4:], 0o600, form},
		{"plain bytes and a newline are refused", string(key) + "\n", 0o600, form},
		{"an empty file is refused", "", 0o600, form},
		{"what is no base64 is refused", "%" + text[1:], 0o600, form},
		{"a large file is refused", strings.Repeat("A", 1025), 0o600, "must be a regular file of at most 1024 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			file := writeKEK(t, t.TempDir(), "kek", tc.content, tc.mode)
			got, err := Keyring{KEKFile: file}.ReadKEK()
			if tc.want == "" {
				if want := key; err != nil || !bytes.Equal(got, want) && string(got) != tc.content {
					t.Errorf("got %d bytes, error %v", len(got), err)
				}
				return
			}
			if err == nil || !strings.HasSuffix(err.Error(), file+": "+tc.want) {
				t.Fatalf("got %v, want ...: %s", err, tc.want)
			}
			if tc.content != "" && strings.Contains(err.Error(), tc.content) {
				t.Error("the error holds the content")
			}
		})
	}
	for name, path := range map[string]string{"a directory": t.TempDir(), "a missing file": "/does/not/exist", "a device": "/dev/zero"} {
		_, err := Keyring{KEKFile: path}.ReadKEK()
		if err == nil {
			t.Errorf("%s passed", name)
		} else if strings.Count(err.Error(), path) != 1 {
			t.Errorf("%s: %v does not name the file once", name, err)
		}
	}
}

func TestReadKEKOfAnotherAccount(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	t.Parallel()
	file := writeKEK(t, t.TempDir(), "kek", strings.Repeat("k", 32), 0o600)
	if err := os.Chown(file, 12345, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := (Keyring{KEKFile: file}).ReadKEK(); err == nil || !strings.Contains(err.Error(), "belongs to user 12345") {
		t.Errorf("got %v, want a refusal that names the owner", err)
	}
}

func TestReadKEKFromASystemdCredential(t *testing.T) {
	dir := t.TempDir()
	key := strings.Repeat("k", 32)
	writeKEK(t, dir, "kek", key, 0o440) // as systemd shows what an access control list lets the service read
	writeKEK(t, dir, "open", key, 0o444)
	t.Setenv(credentialsDir, dir)
	if got, err := (Keyring{KEKCredential: "kek"}).ReadKEK(); err != nil || string(got) != key {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if _, err := (Keyring{KEKCredential: "open"}).ReadKEK(); err == nil || !strings.Contains(err.Error(), "mode 0444") {
		t.Errorf("a credential that everyone can read: %v", err)
	}
	if _, err := (Keyring{KEKCredential: "other"}).ReadKEK(); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "other")) {
		t.Errorf("a missing credential: %v", err)
	}
	t.Setenv(credentialsDir, "")
	if _, err := (Keyring{KEKCredential: "kek"}).ReadKEK(); err == nil || !strings.Contains(err.Error(), "LoadCredential=kek:PATH") {
		t.Errorf("without systemd: %v, want what the unit needs", err)
	}
}

func writeKEK(t *testing.T, dir, name, content string, mode os.FileMode) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
	return file
}
