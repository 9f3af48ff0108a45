package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
)

// Every bad file ends the start with one line that says which setting, which file and what is wrong.
func TestABadFileIsRefusedWithOneLine(t *testing.T) {
	root, foreign := authority(t, "root"), authority(t, "foreign")
	good := issue(t, root, nil, names("server.global.nomad"))
	put := func(path string, content []byte) {
		if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name  string
		spoil func(f *Files)
		want  string // DIR stands for the folder
	}{
		{"no authority file", func(f *Files) { f.CA += ".gone" }, "tls.ca_file DIR/ca.pem.gone: open: no such file or directory"},
		{"no certificate file", func(f *Files) { f.Cert += ".gone" }, "tls.cert_file DIR/cert.pem.gone: open: no such file or directory"},
		{"no key file", func(f *Files) { f.Key += ".gone" }, "tls.key_file DIR/key.pem.gone: open: no such file or directory"},
		{"a directory", func(f *Files) { f.Key = filepath.Dir(f.Key) }, "tls.key_file DIR: is not a regular file"},
		{"a named pipe", func(f *Files) {
			f.Cert += ".pipe"
			if err := syscall.Mkfifo(f.Cert, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "tls.cert_file DIR/cert.pem.pipe: is not a regular file"},
		{"an endless file", func(f *Files) { put(f.CA, bytes.Repeat([]byte("x"), maxFile+1)) }, "tls.ca_file DIR/ca.pem: is larger than 1048576 bytes"},
		{"an empty authority file", func(f *Files) { put(f.CA, nil) }, "tls.ca_file DIR/ca.pem: holds no PEM certificate"},
		{"an authority file of something else", func(f *Files) { put(f.CA, []byte("hello")) }, "tls.ca_file DIR/ca.pem: holds no PEM certificate"},
		{"a damaged second authority", func(f *Files) {
			put(f.CA, append(encode(root.cert), bytes.Replace(encode(foreign.cert), []byte("MII"), []byte("M*I"), 1)...))
		}, "tls.ca_file DIR/ca.pem: holds a damaged PEM block"},
		{"an authority that is none", func(f *Files) { put(f.CA, good.certPEM()) },
			`tls.ca_file DIR/ca.pem: certificate 1 ("") is not that of an authority`},
		{"an expired authority", func(f *Files) {
			put(f.CA, encode(authority(t, "old", func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Hour) }).cert))
		}, `tls.ca_file DIR/ca.pem: the certificate of "CN=old" expired at 2026-11-25T11:00:00Z`},
		{"a weak authority", func(f *Files) {
			put(f.CA, encode(issue(t, nil, rsaKey(t, 1024), func(c *x509.Certificate) { asCA(c, "weak") }).cert))
		}, `tls.ca_file DIR/ca.pem: weak key: RSA of 1024 bits in the certificate of "CN=weak", want 2048 or more`},
		{"a key among the authorities", func(f *Files) { put(f.CA, append(encode(root.cert), root.keyPEM(t)...)) },
			"tls.ca_file DIR/ca.pem: holds a private key, which belongs into key_file alone"},
		{"a certificate cut off", func(f *Files) { put(f.Cert, good.certPEM()[:200]) }, "tls.cert_file DIR/cert.pem: holds a damaged PEM block"},
		{"a certificate with a flipped bit", func(f *Files) {
			c := *good.cert
			c.Raw = bytes.Clone(c.Raw)
			c.Raw[4] ^= 0x40
			put(f.Cert, encode(&c))
		}, "tls.cert_file DIR/cert.pem: certificate 1 can't be read: x509: malformed tbs certificate"},
		{"the key as the certificate", func(f *Files) { f.Cert = f.Key }, "tls.cert_file DIR/key.pem: holds a private key, which belongs into key_file alone"},
		{"the authority as the certificate", func(f *Files) { f.Cert = f.CA },
			"tls.cert_file DIR/ca.pem: is the certificate of an authority; give the one that was made for this agent first"},
		{"an expired certificate", func(f *Files) {
			put(f.Cert, issue(t, root, good.key, func(c *x509.Certificate) { c.Subject.CommonName, c.NotAfter = "a", now.Add(-time.Hour) }).certPEM())
		}, `tls.cert_file DIR/cert.pem: the certificate of "CN=a" expired at 2026-11-25T11:00:00Z`},
		{"a certificate that is not valid yet", func(f *Files) {
			put(f.Cert, issue(t, root, good.key, func(c *x509.Certificate) { c.Subject.CommonName, c.NotBefore = "a", now.Add(time.Hour) }).certPEM())
		}, `tls.cert_file DIR/cert.pem: the certificate of "CN=a" is valid only from 2026-11-25T13:00:00Z on; is this machine's clock right?`},
		{"a certificate of another authority", func(f *Files) { put(f.Cert, issue(t, foreign, good.key, names("server.global.nomad")).certPEM()) },
			"tls.cert_file DIR/cert.pem: peers that trust tls.ca_file would refuse it for client authentication: x509: certificate signed by unknown authority"},
		{"a certificate for servers' use only", func(f *Files) {
			put(f.Cert, issue(t, root, good.key, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }).certPEM())
		}, "tls.cert_file DIR/cert.pem: peers that trust tls.ca_file would refuse it for client authentication: x509: certificate specifies an incompatible key usage"},
		{"a certificate for clients' use only", func(f *Files) {
			put(f.Cert, issue(t, root, good.key, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }).certPEM())
		}, "tls.cert_file DIR/cert.pem: peers that trust tls.ca_file would refuse it for server authentication: x509: certificate specifies an incompatible key usage"},
		{"a client's certificate on a server", func(f *Files) { put(f.Cert, issue(t, root, good.key, names("client.global.nomad")).certPEM()) },
			`tls.cert_file DIR/cert.pem: invalid role or region for certificate: it is for "client.global.nomad", not server.global.nomad`},
		{"a server's certificate of another region", func(f *Files) {
			put(f.Cert, issue(t, root, good.key, names("server.eu.nomad", "b", "c", "d", "e", "f")).certPEM())
		},
			`tls.cert_file DIR/cert.pem: invalid role or region for certificate: it is for "server.eu.nomad", "b", "c", "d", 2 more, not server.global.nomad`},
		{"an empty key file", func(f *Files) { put(f.Key, nil) },
			"tls.key_file DIR/key.pem: is not the key of cert_file: tls: failed to find any PEM data in key input"},
		{"the certificate as the key", func(f *Files) { f.Key = f.Cert },
			"tls.key_file DIR/cert.pem: is not the key of cert_file: tls: found a certificate rather than a key in the PEM for the private key"},
		{"another certificate's key", func(f *Files) { put(f.Key, issue(t, root, nil, names("x")).keyPEM(t)) },
			"tls.key_file DIR/key.pem: is not the key of cert_file: tls: private key does not match public key"},
		{"a key with a passphrase", func(f *Files) {
			put(f.Key, bytes.ReplaceAll(good.keyPEM(t), []byte("PRIVATE KEY"), []byte("ENCRYPTED PRIVATE KEY")))
		}, "tls.key_file DIR/key.pem: is encrypted with a passphrase, which is not supported; decrypt it and restrict who can read it"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			files := write(t, dir, good, root)
			k := keeper(t, config(files))
			before := k.current.Load()
			spoiled := files
			tc.spoil(&spoiled)
			_, err := New(config(spoiled))
			if err == nil {
				t.Fatal("accepted")
			}
			if got := strings.ReplaceAll(err.Error(), dir, "DIR"); got != tc.want {
				t.Errorf("\ngot  %s\nwant %s", got, tc.want)
			}
			if _, err := k.Prepare(spoiled); err == nil || k.current.Load() != before {
				t.Errorf("a running agent took it: %v", err)
			}
			if bytes.Contains([]byte(err.Error()), []byte("BEGIN")) {
				t.Error("the error holds what was in the file")
			}
		})
	}
}

func TestFilesThatChangeAreTakenOnceTheyStayTheSame(t *testing.T) {
	root := authority(t, "root")
	first, second := issue(t, root, nil, names("server.global.nomad")), issue(t, root, nil, names("server.global.nomad"))
	dir := t.TempDir()
	files := write(t, dir, first, root)
	var log bytes.Buffer
	c := config(files)
	c.Logger = hclog.New(&hclog.LoggerOptions{Output: &log})
	k := keeper(t, c)
	changes := 0
	k.OnChange(func() { changes++ })
	inUse := func() *x509.Certificate { return k.current.Load().pair.Leaf }

	k.look()
	if changes != 0 || log.Len() != 0 {
		t.Fatalf("nothing changed, yet: %d changes, %s", changes, &log)
	}
	if err := os.WriteFile(files.Cert, second.certPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	k.look() // sees the certificate without its key
	write(t, dir, second, root)
	k.look() // sees both
	if changes != 0 || log.Len() != 0 {
		t.Fatalf("taken before it stayed the same: %d changes, %s", changes, &log)
	}
	k.look()
	if changes != 1 || !inUse().Equal(second.cert) {
		t.Fatalf("the new certificate is not in use after %d changes", changes)
	}
	log.Reset()
	if err := os.Remove(files.Key); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		k.look()
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "key.pem: open: no such file") || !inUse().Equal(second.cert) {
		t.Errorf("a file that is gone is said in %d lines: %s", n, &log)
	}
	write(t, dir, first, root)
	k.look()
	k.look()
	if changes != 2 || !inUse().Equal(first.cert) {
		t.Errorf("back again after %d changes", changes)
	}
}

func TestWatchLooksAtTheFilesUntilItEnds(t *testing.T) {
	root := authority(t, "root")
	first, second := issue(t, root, nil, names("server.global.nomad")), issue(t, root, nil, names("server.global.nomad"))
	dir := t.TempDir()
	k := keeper(t, config(write(t, dir, first, root)))
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			k.Watch(ctx, 5*time.Second)
		}()
		write(t, dir, second, root)
		time.Sleep(11 * time.Second) // in the bubble's time
		synctest.Wait()
		if !k.current.Load().pair.Leaf.Equal(second.cert) {
			t.Error("the new certificate is not in use after two looks")
		}
		cancel()
		<-ended
	})
}

// An authority is exchanged without a moment at which peers refuse each other: trust both, change certificates, trust the new one.
func TestTwoAuthoritiesAreTrustedDuringAChange(t *testing.T) {
	older, newer := authority(t, "old"), authority(t, "new")
	dirs := []string{t.TempDir(), t.TempDir()}
	var ks []*Keeper
	for _, dir := range dirs {
		ks = append(ks, keeper(t, config(write(t, dir, issue(t, older, nil, names("server.global.nomad")), older))))
	}
	talk := func() error {
		var errs []error
		for i := range ks {
			_, clientErr, serverErr := shake(t, ks[i].Outgoing("global"), ks[1-i].Incoming())
			errs = append(errs, clientErr, serverErr)
		}
		return errors.Join(errs...)
	}
	step := func(what string, i int, by *holder, trusted ...*holder) {
		t.Helper()
		commit, err := ks[i].Prepare(write(t, dirs[i], issue(t, by, nil, names("server.global.nomad")), trusted...))
		if err != nil {
			t.Fatal(err)
		}
		commit()
		if err := talk(); err != nil {
			t.Errorf("after agent %d %s: %v", i+1, what, err)
		}
	}
	for i := range ks {
		step("trusts both", i, older, older, newer)
	}
	for i := range ks {
		step("has a new certificate", i, newer, older, newer)
	}
	for i := range ks {
		step("trusts the new one only", i, newer, newer)
	}
	if _, _, err := shake(t, peerClient(issue(t, older, nil, names("server.global.nomad"))), ks[0].Incoming()); err == nil {
		t.Error("a certificate of the old authority is accepted after it is gone")
	}
}

func TestASessionIsNotResumedPastTheAuthorities(t *testing.T) {
	root := authority(t, "root")
	k := keeper(t, config(write(t, t.TempDir(), issue(t, root, nil, names("server.global.nomad")), root)))
	for name, server := range map[string]*tls.Config{"RPC": k.Incoming(), "HTTPS": k.HTTPS()} {
		client := peerClient(issue(t, root, nil, names("client.global.nomad")))
		client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		for range 2 {
			state, clientErr, serverErr := shake(t, client, server)
			if clientErr != nil || serverErr != nil || state.DidResume {
				t.Errorf("%s: resumed %v, errors %v, %v", name, state.DidResume, clientErr, serverErr)
			}
		}
	}
}

func TestTLSBelowTheConfiguredVersionIsRefused(t *testing.T) {
	root := authority(t, "root")
	files := write(t, t.TempDir(), issue(t, root, nil, names("server.global.nomad")), root)
	for least, accepted := range map[uint16][]uint16{
		0:                {tls.VersionTLS12, tls.VersionTLS13},
		tls.VersionTLS10: {tls.VersionTLS12, tls.VersionTLS13},
		tls.VersionTLS12: {tls.VersionTLS12, tls.VersionTLS13},
		tls.VersionTLS13: {tls.VersionTLS13},
	} {
		c := config(files)
		c.MinVersion = least
		k := keeper(t, c)
		for name, server := range map[string]*tls.Config{"RPC": k.Incoming(), "HTTPS": k.HTTPS()} {
			var got []uint16
			for v := uint16(tls.VersionTLS10); v <= tls.VersionTLS13; v++ {
				client := peerClient(issue(t, root, nil, names("client.global.nomad")))
				client.MinVersion, client.MaxVersion = v, v
				if _, clientErr, serverErr := shake(t, client, server); clientErr == nil && serverErr == nil {
					got = append(got, v)
				}
			}
			if diff := cmp.Diff(accepted, got); diff != "" {
				t.Errorf("%s with least version %x (-want +got):\n%s", name, least, diff)
			}
		}
	}
}

func TestExpiryIsTold(t *testing.T) {
	day := 24 * time.Hour
	for _, tc := range []struct {
		name     string
		cert, ca time.Duration
		want     []string // per line: level and setting
	}{
		{"far away", 31 * day, 31 * day, nil},
		{"the certificate within a month", 29 * day, 31 * day, []string{"[WARN] tls.cert_file 29"}},
		{"the authority within a month", 31 * day, 29 * day, []string{"[WARN] tls.ca_file 29"}},
		{"both within a week", 6 * day, 5*day + time.Hour, []string{"[ERROR] tls.cert_file 6", "[ERROR] tls.ca_file 5"}},
		{"over", -time.Minute, 31 * day, []string{"[ERROR] tls.cert_file 0"}},
	} {
		root := authority(t, "root", func(c *x509.Certificate) { c.NotAfter = now.Add(tc.ca) })
		h := issue(t, root, nil, func(c *x509.Certificate) {
			c.DNSNames, c.NotAfter = []string{"server.global.nomad"}, now.Add(tc.cert)
		})
		at := now.Add(min(tc.cert, 0) - time.Second)
		var log bytes.Buffer
		c := config(write(t, t.TempDir(), h, root))
		c.Logger = hclog.New(&hclog.LoggerOptions{Output: &log, DisableTime: true})
		c.Clock = func() time.Time { return at }
		k := keeper(t, c)
		at = now
		k.WarnOfExpiry()
		var got []string
		for line := range strings.Lines(log.String()) {
			got = append(got, word(line, "[", "]", true)+" "+word(line, "setting=", " ", false)+" "+word(line, "days_left=", "\n", false))
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s%s", tc.name, diff, &log)
		}
		if e := k.Expiries(); len(e) != 2 || e[0].Left != tc.cert || e[1].Left != tc.ca {
			t.Errorf("%s: %+v", tc.name, e)
		}
	}
}

// word is what stands between two marks, with the marks if kept.
func word(line, from, to string, kept bool) string {
	_, rest, _ := strings.Cut(line, from)
	text, _, _ := strings.Cut(rest, to)
	if kept {
		return from + text + to
	}
	return text
}
