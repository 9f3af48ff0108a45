package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/certs"
)

// defaultDomain is the last label of names that carry roles, and begins the names of the authority's files.
const defaultDomain = "nomad"

func domainFlag() cli.Flag {
	return stringFlag("domain", "`DOMAIN` of the names (default: "+defaultDomain+", the only one whose names agents take for roles)")
}

func daysFlag(usage string, days int) cli.Flag {
	return &cli.IntFlag{Name: "days", Usage: fmt.Sprintf("%s (default: %d)", usage, days), Value: days, HideDefault: true}
}

func (v *invocation) days() (int, error) {
	n := v.Int("days")
	if n < 1 || n > maxCertDays {
		return 0, usagef(v.Command, "-days must be from 1 to %d, got %d", maxCertDays, n)
	}
	return n, nil
}

func (v *invocation) domain() (string, error) {
	d := v.String("domain")
	if d == "" {
		return defaultDomain, nil
	}
	if len(d) > 200 || !dnsNameRule.MatchString(d) || d[0] == '*' {
		return "", usagef(v.Command, "-domain %q is not a DNS name", d)
	}
	return d, nil
}

// savedPair is where a certificate went.
type savedPair struct{ Certificate, Key string }

// savePair writes a certificate and its key into new files, both or none.
func (v *invocation) savePair(base, what string, pair certs.Pair) error {
	files := savedPair{Certificate: base + ".pem", Key: base + "-key.pem"}
	if err := createPrivate(files.Key, pair.Key, 0o600); err != nil {
		return fmt.Errorf("save key: %w", err)
	}
	if err := createPrivate(files.Certificate, pair.Cert, 0o644); err != nil {
		return errors.Join(fmt.Errorf("save certificate: %w", err), os.Remove(files.Key))
	}
	return v.done(files, "%s saved to %s\nIts key saved to %s", what, files.Certificate, files.Key)
}

// createPrivate writes a file that must not exist yet, and removes it again if that fails half way.
func createPrivate(name string, content []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already; move it away or work in another folder", name)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(name)
	}
	return err
}
