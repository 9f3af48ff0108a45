package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const (
	// KEKSize is the length of a key-encryption key.
	KEKSize    = 32
	maxKEKFile = 1024
	// credentialsDir is the variable by which systemd tells a service where its credentials are.
	credentialsDir = "CREDENTIALS_DIRECTORY"
)

// credentialRule is what systemd takes as the name of a credential, less what could lead out of its folder.
var credentialRule = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

// HasKEK reports whether the block names a key-encryption key.
func (k Keyring) HasKEK() bool { return k.KEKFile != "" || k.KEKCredential != "" }

// KEKSource says where the key-encryption key is read from, for people; it is empty if the block names none.
func (k Keyring) KEKSource() string {
	switch {
	case k.KEKFile != "":
		return "file " + k.KEKFile
	case k.KEKCredential != "":
		return "systemd credential " + k.KEKCredential
	}
	return ""
}

// ReadKEK reads the key-encryption key that the block names: 32 bytes, as they are or in standard base64 with white space
// around it. A file must be a regular one that belongs to this account or to root and that nobody else can access; of a
// credential, whose folder systemd guards, only writing by others and reading by everyone are refused. No error holds any
// of the content.
func (k Keyring) ReadKEK() ([]byte, error) {
	path, private := k.KEKFile, os.FileMode(0o077)
	if k.KEKCredential != "" {
		dir := os.Getenv(credentialsDir)
		if dir == "" {
			return nil, fmt.Errorf("read key-encryption key from systemd credential %s: %s is not set; has the unit LoadCredential=%s:PATH, and is the agent started by it?",
				k.KEKCredential, credentialsDir, k.KEKCredential)
		}
		// Read access that systemd grants by an access control list shows as the group's.
		path, private = filepath.Join(dir, k.KEKCredential), 0o037
	}
	kek, err := readKEK(path, private)
	if err != nil {
		return nil, fmt.Errorf("read key-encryption key %s: %w", path, err)
	}
	return kek, nil
}

func readKEK(path string, private os.FileMode) ([]byte, error) {
	info, err := os.Stat(path) // before it is opened: opening a pipe would block
	if err != nil {
		return nil, withoutPath(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("must be a regular file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer file.Close()
	if info, err = file.Stat(); err != nil { // of what was opened, whatever the path leads to by now
		return nil, withoutPath(err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxKEKFile {
		return nil, fmt.Errorf("must be a regular file of at most %d bytes", maxKEKFile)
	}
	if perm := info.Mode().Perm(); perm&private != 0 {
		return nil, fmt.Errorf("mode %04o lets others in, set it to 0600 or 0400", perm)
	}
	if err := checkOwner(info); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(file, maxKEKFile+1))
	if err != nil {
		return nil, withoutPath(err)
	}
	return parseKEK(content)
}

func parseKEK(content []byte) ([]byte, error) {
	if len(content) == KEKSize {
		return content, nil
	}
	kek, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(content)))
	if err != nil || len(kek) != KEKSize {
		return nil, fmt.Errorf("must hold %d bytes, as they are or in standard base64 (make one with: rollcall operator root keyring kek generate FILE)", KEKSize)
	}
	return kek, nil
}

// withoutPath takes the path out of an error whose caller names it.
func withoutPath(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return fmt.Errorf("%s: %w", pe.Op, pe.Err)
	}
	return err
}
