package client

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/structs"
)

// Files of the state directory (wire.md §3.6, §8.1).
const (
	nodeIDFile     = "client-id"
	secretIDFile   = "secret-id"
	introTokenFile = "intro_token.jwt"
	stateFile      = "state.db"
)

// maxSmallFile bounds what is read of an ID or introduction token file.
const maxSmallFile = 64 << 10

// newUUID returns a random version 4 UUID.
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// prepareStateDir makes dir and its parents, and keeps others out of it.
func prepareStateDir(dir string, log hclog.Logger) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create client state directory: %w", err)
	}
	return tighten(dir, 0o700, log)
}

// tighten removes the permissions that path has beyond mode. A path that does not exist is fine.
func tighten(path string, mode fs.FileMode, log hclog.Logger) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("check permissions: %w", err)
	}
	have := info.Mode().Perm()
	if have&^mode == 0 {
		return nil
	}
	if err := os.Chmod(path, have&mode); err != nil {
		return fmt.Errorf("%s is open to others (mode %04o) and that can't be changed: %w", path, have, err)
	}
	log.Warn("took away permissions that others had", "path", path, "old_mode", fmt.Sprintf("%04o", have),
		"new_mode", fmt.Sprintf("%04o", have&mode))
	return nil
}

// readOrCreateID returns the UUID in dir/name, making one if there is no such file. A file with anything else in it is
// an error: another ID would make this machine another node.
func readOrCreateID(dir, name string, log hclog.Logger) (string, error) {
	path := filepath.Join(dir, name)
	text, err := readSmallFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		id := newUUID()
		if err := writeFileDurably(dir, name, []byte(id)); err != nil {
			return "", err
		}
		return id, nil
	case err != nil:
		return "", err
	}
	if err := tighten(path, 0o600, log); err != nil {
		return "", err
	}
	id := strings.ToLower(strings.TrimSpace(text))
	if !structs.IsUUID(id) {
		return "", fmt.Errorf("%s does not hold a UUID (%d bytes found): restore it from a copy, or remove it together with %s to make "+
			"this machine a new node", path, len(text), otherID(name))
	}
	return id, nil
}

func otherID(name string) string {
	if name == nodeIDFile {
		return secretIDFile
	}
	return nodeIDFile
}

func readSmallFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSmallFile+1))
	if err != nil {
		return "", err
	}
	if len(b) > maxSmallFile {
		return "", fmt.Errorf("%s is longer than %d bytes", path, maxSmallFile)
	}
	return string(b), nil
}

// writeFileDurably creates dir/name with mode 0600. After a crash either all of it is there or nothing.
func writeFileDurably(dir, name string, content []byte) error {
	path := filepath.Join(dir, name)
	tmp, err := os.CreateTemp(dir, name+".tmp-*") // mode 0600
	if err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	defer os.Remove(tmp.Name()) // fails once it has its name, which is fine
	_, err = tmp.Write(content)
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// syncDir makes the names in dir survive a crash.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
