package server

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/certs"
	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

// filesOf is a keeper whose files the test replaces.
type filesOf struct {
	*certs.Keeper
	files certs.Files
}

func keeperOf(t *testing.T, role string, issuer *testAuthority, trusted ...*testAuthority) *filesOf {
	t.Helper()
	dir := t.TempDir()
	f := &filesOf{files: certs.Files{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}}
	f.write(t, role, issuer, trusted...)
	var err error
	f.Keeper, err = certs.New(certs.Config{Block: "tls", Files: f.files, RPC: true, Server: role == certs.RoleServer, Region: testRegion, VerifyNames: true})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *filesOf) write(t *testing.T, role string, issuer *testAuthority, trusted ...*testAuthority) {
	t.Helper()
	pair, err := issuer.Issue(certs.Request{Role: role, Region: testRegion, Domain: "nomad", Days: 1, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	var pem []byte
	for _, a := range trusted {
		pem = append(pem, a.pem...)
	}
	if err := errors.Join(os.WriteFile(f.files.CA, pem, 0o600), os.WriteFile(f.files.Cert, pair.Cert, 0o600), os.WriteFile(f.files.Key, pair.Key, 0o600)); err != nil {
		t.Fatal(err)
	}
}

func (f *filesOf) reload(t *testing.T, role string, issuer *testAuthority, trusted ...*testAuthority) {
	t.Helper()
	f.write(t, role, issuer, trusted...)
	commit, err := f.Prepare(f.files)
	if err != nil {
		t.Fatal(err)
	}
	commit()
}

// holdRaft opens a connection for Raft, which the server has accepted when it returns.
func holdRaft(t *testing.T, addr string, k *certs.Keeper) net.Conn {
	t.Helper()
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	if err := raw.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Write([]byte{transport.ByteTLS}); err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, k.Outgoing(testRegion))
	if _, err := conn.Write([]byte{transport.ByteRaft, 4, 0x80}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// An authority is replaced as the documents say, with two trusted in between. When the old one is taken out, what it had vouched for
// ends, whether it calls, is called or replicates; what has a certificate of the new one goes on.
func TestWhatARemovedAuthorityVouchedForEnds(t *testing.T) {
	old, next := newTestAuthority(t), newTestAuthority(t)
	var keepers []*filesOf
	servers := cluster(t, 3, func(c *Config) {
		k := keeperOf(t, certs.RoleServer, old, old, next)
		keepers = append(keepers, k)
		c.TLS, c.RPC.VerifyServerHostname = k.Keeper, true
	})
	waitLeader(t, servers...)
	addr := servers[0].RPCAddr()
	stranger := dialAs(t, keeperOf(t, certs.RoleClient, old, old, next).Keeper)
	friend := dialAs(t, keeperOf(t, certs.RoleClient, next, old, next).Keeper)
	ask := func(p *transport.Pool) error {
		return p.Call(t.Context(), addr, "Status.Ping", &structs.GenericRequest{}, nil)
	}
	raft := holdRaft(t, addr, keeperOf(t, certs.RoleServer, old, old, next).Keeper)
	if err := errors.Join(ask(stranger), ask(friend)); err != nil {
		t.Fatal(err)
	}

	for i, s := range servers {
		keepers[i].reload(t, certs.RoleServer, next, old, next)
		if reasons := s.Recheck(); len(reasons) > 0 {
			t.Errorf("while both are trusted: %v", reasons)
		}
	}
	if err := errors.Join(ask(stranger), ask(friend)); err != nil {
		t.Fatal(err)
	}
	for i, s := range servers {
		keepers[i].reload(t, certs.RoleServer, next, next)
		if reasons := s.Recheck(); i == 0 && len(reasons) == 0 {
			t.Error("nothing was closed")
		}
	}
	if _, err := io.Copy(io.Discard, raft); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a connection of Raft's that the old one vouched for stays open")
	}
	if err := ask(stranger); err == nil {
		t.Error("a client of the old one is answered")
	}
	if err := ask(friend); err != nil {
		t.Errorf("a client of the new one: %v", err)
	}
	// The servers trust each other by the new one alone, and go on.
	for _, s := range servers {
		waitLeader(t, servers...)
		eventually(t, "a write through "+s.cfg.NodeName, func() error {
			var out structs.GenericResponse
			req := &structs.NodePoolUpsertRequest{NodePools: []*structs.NodePool{{Name: "x"}}, WriteRequest: structs.WriteRequest{Region: testRegion}}
			return s.RPC(t.Context(), "NodePool.UpsertNodePools", req, &out)
		})
		if reasons := s.Recheck(); len(reasons) > 0 {
			t.Errorf("still open: %v", reasons)
		}
	}
}
