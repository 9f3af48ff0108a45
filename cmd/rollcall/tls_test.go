package main

import (
	"crypto/tls"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/certs"
	"github.com/rollcall-id/rollcall/httpapi"
)

// mustRun runs a command that has to succeed and returns what it printed.
func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	got := rollcall(t, "", args...)
	if got.code != exitOK || got.err != "" {
		t.Fatalf("%v: exit code %d\n%s", args, got.code, got.err)
	}
	return got.out
}

// filesOf lists a folder with the files' modes.
func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = info.Mode().Perm().String()
	}
	return out
}

func TestOneCommandEachMakesASetThatWorks(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	said := mustRun(t, "tls", "ca", "create") + mustRun(t, "tls", "cert", "create", "-server", "-additional-ipaddress=10.0.0.11") +
		mustRun(t, "tls", "cert", "create", "-client", "-additional-dnsname", "web-1.example") + mustRun(t, "tls", "cert", "create", "-cli")
	want := `CA certificate saved to nomad-agent-ca.pem
Its key saved to nomad-agent-ca-key.pem
Certificate saved to global-server-nomad.pem
Its key saved to global-server-nomad-key.pem
Certificate saved to global-client-nomad.pem
Its key saved to global-client-nomad-key.pem
Certificate saved to global-cli-nomad.pem
Its key saved to global-cli-nomad-key.pem
`
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	modes := map[string]string{}
	for _, base := range []string{"nomad-agent-ca", "global-server-nomad", "global-client-nomad", "global-cli-nomad"} {
		modes[base+".pem"], modes[base+"-key.pem"] = "-rw-r--r--", "-rw-------"
	}
	if diff := cmp.Diff(modes, filesOf(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	for role, server := range map[string]bool{certs.RoleServer: true, certs.RoleClient: false} {
		base := "global-" + role + "-nomad"
		_, err := certs.New(certs.Config{
			Block: "tls", Files: certs.Files{CA: "nomad-agent-ca.pem", Cert: base + ".pem", Key: base + "-key.pem"},
			RPC: true, Server: server, Region: "global", VerifyNames: true,
		})
		if err != nil {
			t.Errorf("%s's certificate: %v", role, err)
		}
	}
}

func TestCertificatesAreShown(t *testing.T) {
	t.Chdir(t.TempDir())
	mustRun(t, "tls", "ca", "create", "-name-constraint", "-additional-domain=id.example.com", "-organization", "Example", "-days=400")
	mustRun(t, "tls", "cert", "create", "-server", "-region=eu", "-days=30", "-additional-dnsname=id.example.com", "-additional-ipaddress=::1")
	changing := regexp.MustCompile(`(= )(\d{30,}|\d{4}-\S+Z|CN=Rollcall Agent CA [0-9a-f]+)`)
	show := func(args ...string) string { return changing.ReplaceAllString(mustRun(t, args...), "$1...") }
	if diff := cmp.Diff(`Serial Number = ...
Issuer        = ...,O=Example
Subject       = ...,O=Example
Valid From    = ...
Expires       = ...
May Sign      = nomad, localhost, id.example.com
`, show("tls", "ca", "info")); diff != "" {
		t.Errorf("authority (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(`Serial Number = ...
Issuer        = ...,O=Example
Subject       = CN=server.eu.nomad
Valid From    = ...
Expires       = ...
DNS Names     = server.eu.nomad, localhost, id.example.com
IP Addresses  = 127.0.0.1, ::1
`, show("tls", "cert", "info", "eu-server-nomad.pem")); diff != "" {
		t.Errorf("certificate (-want +got):\n%s", diff)
	}
	var infos []certInfo
	if err := json.Unmarshal([]byte(mustRun(t, "tls", "cert", "info", "-json", "eu-server-nomad.pem")), &infos); err != nil {
		t.Fatal(err)
	}
	if len(infos) != 1 || infos[0].Authority || infos[0].NotAfter.Sub(infos[0].NotBefore).Hours() < 30*24 ||
		!slices.Equal(infos[0].IPAddresses, []string{"127.0.0.1", "::1"}) {
		t.Errorf("as JSON: %+v", infos)
	}
}

func TestWhatTheTLSCommandsRefuse(t *testing.T) {
	for _, tc := range []struct {
		name, args, want string
		code             int
	}{
		{"an authority that is there", "tls ca create", "save key: nomad-agent-ca-key.pem exists already; move it away or work in another folder", 1},
		{"a certificate that is there", "tls cert create -client", "save key: global-client-nomad-key.pem exists already; move it away or work in another folder", 1},
		{"no role", "tls cert create", "give one of -server, -client and -cli", 2},
		{"two roles", "tls cert create -server -cli", "give only one of -server, -client and -cli", 2},
		{"no days", "tls cert create -server -days=0", "-days must be from 1 to 36500, got 0", 2},
		{"too many days", "tls ca create -days=36501", "-days must be from 1 to 36500, got 36501", 2},
		{"a region that is no label", "tls cert create -server -region=../eu", `-region "../eu" must be 1 to 63 letters, digits, - or _`, 2},
		{"a domain that is no name", "tls ca create -domain=../x", `-domain "../x" is not a DNS name`, 2},
		{"a wildcard domain", "tls ca create -domain=*.x", `-domain "*.x" is not a DNS name`, 2},
		{"a name that is none", "tls cert create -server -additional-dnsname=a/b", `-additional-dnsname "a/b" is not a DNS name`, 2},
		{"an address that is none", "tls cert create -server -additional-ipaddress=1.2.3", `-additional-ipaddress "1.2.3" is not an IP address`, 2},
		{"domains without constraint", "tls ca create -domain=x -additional-domain=y", "-additional-domain has an effect only with -name-constraint", 2},
		{"an authority that is not there", "tls cert create -server -domain=other",
			"read the authority's other-agent-ca.pem: open: no such file or directory; make one with 'rollcall tls ca create', or name its files with -ca and -key", 1},
		{"a certificate as authority", "tls cert create -server -ca=global-client-nomad.pem",
			`use the authority in global-client-nomad.pem with the key in nomad-agent-ca-key.pem: the certificate of "CN=client.global.nomad" is not that of an authority`, 1},
		{"another key", "tls cert create -server -key=global-client-nomad-key.pem",
			"use the authority in nomad-agent-ca.pem with the key in global-client-nomad-key.pem: the key is not the key of cert_file: tls: private key does not match public key", 1},
		{"a name that the authority may not sign", "tls cert create -server -additional-dnsname=example.org",
			`can't sign this certificate: x509: a root or intermediate certificate is not authorized to sign for this name`, 1},
		{"a key shown", "tls cert info global-client-nomad-key.pem", "read global-client-nomad-key.pem: the file holds a private key", 1},
		{"a certificate shown as authority", "tls ca info global-client-nomad.pem", "is not that of an authority; see 'rollcall tls cert info'", 1},
		{"nothing shown", "tls cert info gone.pem", "read gone.pem: open: no such file or directory", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			t.Chdir(dir)
			mustRun(t, "tls", "ca", "create", "-name-constraint")
			mustRun(t, "tls", "cert", "create", "-client")
			before := filesOf(t, dir)
			got := rollcall(t, "", strings.Fields(tc.args)...)
			if got.code != tc.code || !strings.Contains(got.err, tc.want) || got.out != "" {
				t.Errorf("exit code %d, want %d\n%s\nwant %s", got.code, tc.code, got.err, tc.want)
			}
			if diff := cmp.Diff(before, filesOf(t, dir)); diff != "" {
				t.Errorf("files changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestCommandsTalkHTTPSWithACertificate(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	mustRun(t, "tls", "ca", "create")
	mustRun(t, "tls", "cert", "create", "-server")
	mustRun(t, "tls", "cert", "create", "-cli")
	k, err := certs.New(certs.Config{
		Block: "tls", Files: certs.Files{CA: "nomad-agent-ca.pem", Cert: "global-server-nomad.pem", Key: "global-server-nomad-key.pem"}, VerifyHTTPSClient: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	addr := serveTLS(t, k.HTTPS())
	with := []string{"-address", addr, "-ca-cert=nomad-agent-ca.pem", "-client-cert=global-cli-nomad.pem", "-client-key=global-cli-nomad-key.pem"}
	capath := filepath.Join(dir, "cas")
	if err := os.Mkdir(capath, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename("nomad-agent-ca.pem", filepath.Join(capath, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		args []string
		want string // in what is said of a failure; empty: it works
	}{
		{"all there is", []string{"-ca-path=cas", "-client-cert=global-cli-nomad.pem", "-client-key=global-cli-nomad-key.pem"}, ""},
		{"by the server's name", []string{"-ca-path=cas", "-client-cert=global-cli-nomad.pem", "-client-key=global-cli-nomad-key.pem", "-tls-server-name=server.global.nomad"}, ""},
		{"without looking", []string{"-tls-skip-verify", "-client-cert=global-cli-nomad.pem", "-client-key=global-cli-nomad-key.pem"}, ""},
		{"another name", []string{"-ca-path=cas", "-tls-server-name=server.eu.nomad"}, "certificate is valid for server.global.nomad, localhost, not server.eu.nomad"},
		{"no authority", nil, "certificate signed by unknown authority"},
		{"no certificate", []string{"-ca-path=cas"}, "certificate required"},
		{"half a certificate", []string{"-client-cert=global-cli-nomad.pem"}, "a client certificate needs both its certificate and its key file"},
	} {
		got := rollcall(t, "", append(append([]string{"node", "status"}, with[:2]...), tc.args...)...)
		if (tc.want == "") != (got.code == exitOK) || !strings.Contains(got.err, tc.want) {
			t.Errorf("%s: exit code %d\n%s", tc.name, got.code, got.err)
		}
	}
	t.Setenv("NOMAD_CAPATH", "cas")
	t.Setenv("NOMAD_CLIENT_CERT", "global-cli-nomad.pem")
	t.Setenv("ROLLCALL_CLIENT_KEY", "global-cli-nomad-key.pem")
	t.Setenv("ROLLCALL_ADDR", addr)
	mustRun(t, "node", "status")
}

// serveTLS puts the API of a fresh cluster on a port with TLS.
func serveTLS(t *testing.T, conf *tls.Config) string {
	t.Helper()
	c := newCluster()
	api, err := httpapi.New(httpapi.Config{Region: "global", Addrs: []string{"127.0.0.1:0"}, TLS: conf}, c, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- api.Serve() }()
	t.Cleanup(func() {
		if err := api.Shutdown(t.Context()); err != nil {
			t.Logf("shut down: %v", err) // the test's context is over
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "https://" + api.Addrs()[0].String()
}
