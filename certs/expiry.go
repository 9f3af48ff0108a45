package certs

import (
	"crypto/x509"
	"time"
)

// Times before the end of a certificate at which to speak up.
const (
	expiresSoon   = 30 * 24 * time.Hour
	expiresUrgent = 7 * 24 * time.Hour
)

// Expiry is the end of what a file holds.
type Expiry struct {
	Setting string // "tls.cert_file"
	File    string
	At      time.Time
	Left    time.Duration // negative after the end
}

// Expiries says when the certificate, with its chain, and the authorities in use end. Of the authorities the one that ends last
// counts, since the others are left from a change.
func (k *Keeper) Expiries() []Expiry {
	s, now := k.current.Load(), k.cfg.Clock()
	end := func(setting, file string, at time.Time) Expiry {
		return Expiry{Setting: k.cfg.Block + "." + setting, File: file, At: at, Left: at.Sub(now)}
	}
	out := []Expiry{end("cert_file", s.files.Cert, first(s.chain))}
	if len(s.authorities) > 0 {
		out = append(out, end("ca_file", s.files.CA, last(s.authorities)))
	}
	return out
}

func first(cs []*x509.Certificate) time.Time {
	at := cs[0].NotAfter
	for _, c := range cs[1:] {
		if c.NotAfter.Before(at) {
			at = c.NotAfter
		}
	}
	return at
}

func last(cs []*x509.Certificate) time.Time {
	at := cs[0].NotAfter
	for _, c := range cs[1:] {
		if c.NotAfter.After(at) {
			at = c.NotAfter
		}
	}
	return at
}

// WarnOfExpiry logs what ends within 30 days, and as an error what ends within 7.
func (k *Keeper) WarnOfExpiry() {
	for _, e := range k.Expiries() {
		args := []any{"setting", e.Setting, "file", e.File, "expires", e.At.UTC().Format(time.RFC3339), "days_left", int(e.Left / (24 * time.Hour))}
		switch {
		case e.Left <= 0:
			k.log.Error("certificate has expired: peers refuse new connections; replace the file, it is loaded by itself", args...)
		case e.Left < expiresUrgent:
			k.log.Error("certificate expires within a week; replace the file, it is loaded by itself", args...)
		case e.Left < expiresSoon:
			k.log.Warn("certificate expires soon; replace the file, it is loaded by itself", args...)
		}
	}
}
