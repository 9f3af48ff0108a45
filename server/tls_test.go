package server

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/certs"
	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

// testAuthority makes keepers of certificates.
type testAuthority struct {
	*certs.Authority
	pem []byte
}

func newTestAuthority(t *testing.T) *testAuthority {
	t.Helper()
	pair, err := certs.NewAuthority(certs.AuthorityRequest{Days: 1, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	a, err := certs.ReadAuthority(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	return &testAuthority{Authority: a, pem: pair.Cert}
}

// keeper has a certificate for the role in the region; one that is not of this region is checked by nobody but its peers.
func (a *testAuthority) keeper(t *testing.T, role, region string) *certs.Keeper {
	t.Helper()
	pair, err := a.Issue(certs.Request{Role: role, Region: region, Domain: "nomad", Days: 1, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := certs.Files{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	if err := errors.Join(os.WriteFile(files.CA, a.pem, 0o600), os.WriteFile(files.Cert, pair.Cert, 0o600), os.WriteFile(files.Key, pair.Key, 0o600)); err != nil {
		t.Fatal(err)
	}
	k, err := certs.New(certs.Config{Block: "tls", Files: files, RPC: true, Server: role == certs.RoleServer, Region: region, VerifyNames: true})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// dialAs is a pool of an agent with this keeper, which calls servers of the test's region.
func dialAs(t *testing.T, k *certs.Keeper) *transport.Pool {
	t.Helper()
	conf := transport.PoolConfig{}
	if k != nil {
		conf.DialTLS = func(string) *tls.Config { return k.Outgoing(testRegion) }
	}
	p := transport.NewPool(conf)
	t.Cleanup(func() { p.Close() })
	return p
}

// speakRaft sends an RPC of Raft's that every server answers; false if the connection was closed instead.
func speakRaft(t *testing.T, addr string, k *certs.Keeper) bool {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if k != nil {
		if _, err := conn.Write([]byte{transport.ByteTLS}); err != nil {
			return false
		}
		conn = tls.Client(conn, k.Outgoing(testRegion))
	}
	// Byte 4 is the type of a pre-vote; an empty map asks for nothing in particular.
	if _, err := conn.Write([]byte{transport.ByteRaft, 4, 0x80}); err != nil {
		return false
	}
	_, err = io.ReadFull(conn, make([]byte, 1))
	return err == nil
}

// wire.md §1.6: by what certificate one may do what, on a cluster whose servers talk TLS among themselves.
func TestCertificatesDecideWhoMayDoWhatAtTheRPCPort(t *testing.T) {
	ca := newTestAuthority(t)
	servers := cluster(t, 3, func(c *Config) {
		c.TLS, c.RPC.VerifyServerHostname = ca.keeper(t, certs.RoleServer, testRegion), true
	})
	leader := waitLeader(t, servers...)
	var follower *Server
	for _, s := range servers {
		if s != leader {
			follower = s
		}
	}
	for _, tc := range []struct {
		name                   string
		keeper                 *certs.Keeper // nil: no TLS
		ask, register, servers bool
	}{
		{"a server of the region", ca.keeper(t, certs.RoleServer, testRegion), true, true, true},
		{"a client of the region", ca.keeper(t, certs.RoleClient, testRegion), true, true, false},
		{"a server of another region", ca.keeper(t, certs.RoleServer, "eu"), true, false, false},
		{"a client of another region", ca.keeper(t, certs.RoleClient, "eu"), false, false, false},
		{"a server of another authority", newTestAuthority(t).keeper(t, certs.RoleServer, testRegion), false, false, false},
		{"no TLS", nil, false, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pool := dialAs(t, tc.keeper)
			for what, addr := range map[string]string{"the leader": leader.RPCAddr(), "a follower": follower.RPCAddr()} {
				call := func(method string, args any) bool {
					return pool.Call(t.Context(), addr, method, args, nil) == nil
				}
				if got := call("Status.Ping", &structs.GenericRequest{}); got != tc.ask {
					t.Errorf("%s answers a question: %v", what, got)
				}
				req := &structs.NodeRegisterRequest{Node: testNode(), WriteRequest: structs.WriteRequest{Region: testRegion}}
				if got := call("Node.Register", req); got != tc.register {
					t.Errorf("%s registers a node: %v", what, got)
				}
				if got := call("Status.RaftStats", &structs.GenericRequest{QueryOptions: structs.QueryOptions{Region: testRegion}}); got != tc.servers {
					t.Errorf("%s answers a server's question: %v", what, got)
				}
				if got := speakRaft(t, addr, tc.keeper); got != tc.servers {
					t.Errorf("%s lets it replicate: %v", what, got)
				}
			}
		})
	}
}

func TestUpgradeModeLetsInPeersWithoutTLSBesideThoseWithIt(t *testing.T) {
	ca := newTestAuthority(t)
	conf := testConfig(t, "s1", 1)
	conf.TLS, conf.TLSUpgrade, conf.RPC.VerifyServerHostname = ca.keeper(t, certs.RoleServer, testRegion), true, true
	s := start(t, conf)
	waitLeader(t, s)
	for name, k := range map[string]*certs.Keeper{"without TLS": nil, "with TLS": ca.keeper(t, certs.RoleClient, testRegion)} {
		register(t, dialAs(t, k), s.RPCAddr(), testNode(), "")
		if !speakRaft(t, s.RPCAddr(), k) {
			t.Errorf("%s: not let in to replicate", name)
		}
	}
	eu := ca.keeper(t, certs.RoleServer, "eu")
	req := &structs.NodeRegisterRequest{Node: testNode(), WriteRequest: structs.WriteRequest{Region: testRegion}}
	err := dialAs(t, eu).Call(t.Context(), s.RPCAddr(), "Node.Register", req, nil)
	if err == nil || !strings.Contains(err.Error(), "Permission denied") {
		t.Errorf("a certificate that is shown counts: %v", err)
	}
}
