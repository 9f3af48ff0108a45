package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/config"
)

func (a *app) kekGenerateCommand() *cli.Command {
	return a.command(spec{
		name: "generate", usage: "make a key-encryption key", args: "FILE", least: 1, most: 1,
		help: "Writes a new random key to FILE, which only its owner can read. A file that is there already is never\n" +
			"overwritten, and the key is never printed. Copy the file to all servers over a channel that you trust, and keep\n" +
			"one more copy apart from all backups of the servers: without it their root keys are lost.",
		example: "operator root keyring kek generate /etc/rollcall/kek",
		flags:   outputFlags(),
	}, func(_ context.Context, v *invocation) error {
		file := v.Args().First()
		if err := writeKEK(file); err != nil {
			return fmt.Errorf("write key-encryption key %s: %w", file, err)
		}
		return v.done(struct{ File string }{file}, "Wrote a new key-encryption key to %s", file)
	})
}

// writeKEK writes a new key to a file that must not be there, and syncs it: losing it later loses what it wrapped.
func writeKEK(file string) (err error) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return errors.New("there is such a file already, and root keys may be wrapped by what is in it")
	case err != nil:
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, os.Remove(file)) // ours: half a key would be refused only at the next start
		}
	}()
	key := make([]byte, config.KEKSize)
	defer clear(key)
	if _, err := rand.Read(key); err != nil {
		return fmt.Errorf("generate: %w", err)
	}
	if _, err := f.WriteString(base64.StdEncoding.EncodeToString(key) + "\n"); err != nil {
		return err
	}
	return f.Sync()
}
