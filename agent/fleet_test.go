package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/certs"
	"github.com/rollcall-id/rollcall/config"
	"github.com/rollcall-id/rollcall/keyring"
	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/snapshot"
	"github.com/rollcall-id/rollcall/structs"
)

// fleet is two servers with TLS and ACLs on, of which one leads and has a node of its own, two nodes that are known to them
// and no processes, and everybody who may come to them.
type fleet struct {
	t                *testing.T
	ca               *authority
	leader, follower string // HTTP addresses
	rpc              map[string]string
	management       string // its secret
	browser          *http.Client
	nodes            []*structs.Node
	accessors        map[string]string // of tokens, by their names
	role, spareToken string
	credentials      []*fleetCredential
}

// fleetCredential is a way to present oneself.
type fleetCredential struct {
	name    string
	secret  string
	headers map[string]string
	client  *http.Client
}

// fleetPolicies are policies of the fleet. Those of tokens are named in newACLFleet.
var fleetPolicies = map[string]string{
	"read":  `node { policy = "read" } node_pool "*" { policy = "read" } agent { policy = "read" } operator { policy = "read" }`,
	"ops":   `node { policy = "write" } node_pool "*" { policy = "write" } agent { policy = "write" } operator { policy = "write" }`,
	"edge":  `node_pool "edge-*" { policy = "write" }`,
	"keys":  `operator { capabilities = ["keyring-read", "keyring-rotate"] }`,
	"saver": `operator { capabilities = ["snapshot-save"] }`,
	"spare": `node { policy = "read" }`,
}

// fleetTLS is tlsBlock for clients without a certificate as well.
func fleetTLS(dir string) string {
	return strings.Replace(tlsBlock(dir), "verify_https_client    = true", "verify_https_client    = false", 1)
}

const fleetACL = `
acl {
  enabled                  = true
  token_min_expiration_ttl = "1ms"
}
`

func newACLFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{t: t, ca: newAuthority(t), rpc: map[string]string{}, accessors: map[string]string{}}
	f.start()
	f.addACLs()
	removed := f.rotatedKey()
	f.do("DELETE", "/v1/operator/keyring/key/"+removed.keyID, "", nil)
	for n := range 2 {
		node := &structs.Node{
			ID: fmt.Sprintf("00000000-0000-4000-8000-00000000000%d", n+1), SecretID: fmt.Sprintf("5ec4e700-0000-4000-8000-00000000000%d", n+1),
			Name: fmt.Sprintf("node-%d", n+1), Datacenter: "dc1", NodePool: "default", Status: structs.NodeStatusInit,
			Attributes: structs.NewStringMap(map[string]string{structs.AttrNomadVersion: "2.0.5"}),
		}
		f.nodes = append(f.nodes, node)
		f.register(node)
	}
	f.addCredentials(f.signer(), removed)
	f.waitForFollower()
	return f
}

// waitForFollower waits until the follower, which answers some requests by itself, has the last of what was written: the
// removal of a policy that was there before the last token was.
func (f *fleet) waitForFollower() {
	eventually(f.t, "the follower to have what the leader has", func() error {
		var token structs.ACLToken
		if err := f.try(f.follower, "GET", "/v1/acl/token/"+f.accessors["ended"]+"?stale", "", &token); err != nil {
			return err
		}
		var policies []*structs.ACLPolicyListStub
		if err := f.try(f.follower, "GET", "/v1/acl/policies?stale", "", &policies); err != nil {
			return err
		}
		if slices.ContainsFunc(policies, func(p *structs.ACLPolicyListStub) bool { return p.Name == "gone" }) {
			return errors.New("the policy is there")
		}
		return nil
	})
}

// start starts the servers.
func (f *fleet) start() {
	t, dir := f.t, f.t.TempDir()
	f.ca.put(t, dir, f.ca.issue(t, certs.RoleServer))
	f.browser = f.ca.browser(t, nil)
	f.browser.Transport.(*http.Transport).DisableKeepAlives = false
	first := launch(t, Options{Config: parse(t, config.DevConfig(), anyPort+fleetTLS(dir)+fleetACL)})
	f.leader = first.httpAddr(t)
	eventually(t, "the bootstrap of access control", func() error {
		var token structs.ACLToken
		if err := f.try(f.leader, "PUT", "/v1/acl/bootstrap", "", &token); err != nil {
			return err
		}
		f.management = token.SecretID
		return nil
	})
	members := f.members(f.leader, 1)
	second := launch(t, Options{Config: parse(t, config.DefaultConfig(), fmt.Sprintf(`
name      = "second"
bind_addr = "127.0.0.1"
data_dir  = %q
log_level = "debug"
ports {
  http = 0
  rpc  = 0
  serf = 0
}
server {
  enabled           = true
  non_voting_server = true
  server_join { retry_join = ["127.0.0.1:%d"] }
}
`, t.TempDir(), members[0].Port)+fleetTLS(dir)+fleetACL)})
	f.follower = second.httpAddr(t)
	for _, m := range f.members(f.leader, 2) {
		at := f.leader
		if strings.HasPrefix(m.Name, "second.") {
			at = f.follower
		}
		f.rpc[at] = net.JoinHostPort("127.0.0.1", m.Tags["port"])
	}
	eventually(t, "the follower to know what the leader does", func() error {
		return f.try(f.follower, "GET", "/v1/agent/schedulers", "", nil)
	})
}

// members waits until there are n servers that know each other.
func (f *fleet) members(at string, n int) []*structs.ServerMember {
	var out structs.ServerMembersResponse
	eventually(f.t, fmt.Sprintf("%d servers", n), func() error {
		if err := f.try(at, "GET", "/v1/agent/members", "", &out); err != nil {
			return err
		}
		if len(out.Members) != n {
			return fmt.Errorf("there are %d", len(out.Members))
		}
		return nil
	})
	return out.Members
}

// try sends a request as the management token, if there is one yet.
func (f *fleet) try(at, method, path, body string, out any) error {
	req, err := http.NewRequestWithContext(f.t.Context(), method, "https://"+at+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("X-Nomad-Token", f.management)
	resp, err := f.browser.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, answer)
	}
	switch to := out.(type) {
	case nil:
		return nil
	case *[]byte:
		*to = answer
		return nil
	}
	return json.Unmarshal(answer, out)
}

// do is try at the leader, of what has to work.
func (f *fleet) do(method, path, body string, out any) {
	f.t.Helper()
	if err := f.try(f.leader, method, path, body, out); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) policy(name, rules string) {
	body, err := json.Marshal(map[string]string{"Name": name, "Rules": rules})
	if err != nil {
		f.t.Fatal(err)
	}
	f.do("PUT", "/v1/acl/policy/"+name, string(body), nil)
}

// token makes a token and returns its accessor and secret IDs.
func (f *fleet) token(name, more string) (accessor, secret string) {
	var token structs.ACLToken
	f.do("PUT", "/v1/acl/token", fmt.Sprintf(`{"Name":%q,"Type":"client",%s}`, name, more), &token)
	return token.AccessorID, token.SecretID
}

func (f *fleet) pool(name string) {
	f.do("PUT", "/v1/node/pools", fmt.Sprintf(`{"Name":%q}`, name), nil)
}

func (f *fleet) addACLs() {
	for name, rules := range fleetPolicies {
		f.policy(name, strings.ReplaceAll(rules, "} ", "}\n"))
	}
	f.pool("edge-1")
	f.pool("core")
	var role structs.ACLRole
	f.do("PUT", "/v1/acl/role", `{"Name":"viewer","Policies":[{"Name":"read"}]}`, &role)
	f.role = role.ID
	f.spareToken, _ = f.token("spare", `"Policies":["read"]`)
}

// signer signs as the cluster's keys do: with those of a snapshot, whose key-encryption keys lie beside them.
type signer struct {
	*keyring.Keyring
	keyID string // the active one
}

func (f *fleet) signer() *signer {
	var archive []byte
	f.do("GET", "/v1/operator/snapshot", "", &archive)
	var keys []*structs.RootKey
	v, err := snapshot.Verify(f.t.Context(), bytes.NewReader(archive), snapshot.VerifyOptions{})
	if err != nil {
		f.t.Fatal(err)
	}
	defer v.Close()
	s := &signer{}
	err = v.Records(f.t.Context(), func(rec snapshot.Record) error {
		got, err := snapshot.DecodeRecord(rec)
		if key, ok := got.(*structs.RootKey); ok {
			keys = append(keys, key)
			if key.IsActive() {
				s.keyID = key.KeyID
			}
		}
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	if s.Keyring, err = keyring.New(keyring.Config{}); err != nil {
		f.t.Fatal(err)
	}
	s.Set(f.t.Context(), keys)
	f.t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

// rotatedKey signs with a key that was active and has signed nothing.
func (f *fleet) rotatedKey() *signer {
	f.do("PUT", "/v1/operator/keyring/rotate", "", nil)
	s := f.signer()
	f.do("PUT", "/v1/operator/keyring/rotate", "", nil)
	return s
}

// register registers a node, whose record may be gone.
func (f *fleet) register(n *structs.Node) {
	f.t.Helper()
	pool := f.dialAs(certs.RoleClient)
	defer pool.Close()
	write := structs.WriteRequest{Region: "global"}
	var reply structs.NodeUpdateResponse
	eventually(f.t, "the registration of "+n.Name, func() error {
		return pool.Call(f.t.Context(), f.rpc[f.leader], "Node.Register", &structs.NodeRegisterRequest{Node: n, WriteRequest: write}, &reply)
	})
	write.AuthToken = n.SecretID
	ready := &structs.NodeUpdateStatusRequest{NodeID: n.ID, Status: structs.NodeStatusReady, WriteRequest: write}
	if err := pool.Call(f.t.Context(), f.rpc[f.leader], "Node.UpdateStatus", ready, &reply); err != nil {
		f.t.Fatal(err)
	}
}

// dialAs calls servers with a certificate of the role, "" for none.
func (f *fleet) dialAs(role string) *transport.Pool {
	return dial(f.ca.outgoing(f.t, f.ca, role))
}

func dial(conf *tls.Config) *transport.Pool {
	return transport.NewPool(transport.PoolConfig{DialTLS: func(string) *tls.Config { return conf }})
}

// outgoing is the TLS configuration of one who trusts the authority and shows a certificate of issuer's.
func (a *authority) outgoing(t *testing.T, issuer *authority, role string) *tls.Config {
	t.Helper()
	conf := a.browser(t, nil).Transport.(*http.Transport).TLSClientConfig
	conf.ServerName, conf.MinVersion = "server.global.nomad", tls.VersionTLS12
	if role == "" {
		return conf
	}
	pair := issuer.issue(t, role)
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	conf.Certificates = []tls.Certificate{cert}
	return conf
}

func (f *fleet) addCredentials(s, removed *signer) {
	own, other := f.nodes[0], f.nodes[1]
	at := func(begin time.Time) structs.Lifetime {
		return structs.Lifetime{ID: nobody, Now: begin, TTL: time.Hour}
	}
	sign := func(s *signer, c *structs.IdentityClaims) string {
		signed, err := s.SignWait(f.t.Context(), c)
		if err != nil {
			f.t.Fatal(err)
		}
		return signed.Token
	}
	now := time.Now()
	workload := &structs.IdentityClaims{
		ID: nobody, Subject: "global:default:web:group:task:id", Audience: []string{structs.IdentityAudience},
		IssuedAt: now.Unix(), NotBefore: now.Unix(), Expiry: now.Add(time.Hour).Unix(),
		Workload: &structs.WorkloadClaims{Namespace: "default", JobID: "web", AllocationID: nobody},
	}
	f.add("none", "")
	f.add("unknown UUID", nobody)
	f.add("own secret", own.SecretID)
	f.add("other secret", other.SecretID)
	f.add("own identity", sign(s, structs.NewNodeClaims("global", own, at(now))))
	f.add("other identity", sign(s, structs.NewNodeClaims("global", other, at(now))))
	f.add("expired identity", sign(s, structs.NewNodeClaims("global", own, at(now.Add(-2*time.Hour)))))
	f.add("introduction", sign(s, structs.NewIntroductionClaims("global", "default", "", at(now))))
	f.add("workload", sign(s, workload))
	f.add("removed key", sign(removed, structs.NewNodeClaims("global", own, at(now))))
	f.add("garbage", "eyJhbGciOiJub25lIn0.e30.")
	f.addTokens()
	pair := func(role string) *http.Client {
		p := f.ca.issue(f.t, role)
		return f.ca.browser(f.t, &p)
	}
	f.add("server certificate", "").client = pair(certs.RoleServer)
	f.add("client certificate", "").client = pair(certs.RoleClient)
	for _, c := range f.credentials {
		c.client.Transport.(*http.Transport).DisableKeepAlives = false
		f.t.Cleanup(c.client.CloseIdleConnections)
	}
	f.t.Cleanup(f.browser.CloseIdleConnections)
}

// addTokens adds the credentials of operators.
func (f *fleet) addTokens() {
	for _, c := range [][2]string{
		{"read-only", `"Policies":["read"]`},
		{"read-only by role", `"Roles":[{"Name":"viewer"}]`},
		{"operator", `"Policies":["ops"]`},
		{"pools edge-*", `"Policies":["edge"]`},
		{"keys", `"Policies":["keys"]`},
		{"snapshot-save", `"Policies":["saver"]`},
		{"no rights", `"Policies":["gone"]`},
		{"ended", `"Policies":["ops"],"ExpirationTTL":"1ms"`},
	} {
		if c[0] == "no rights" {
			f.policy("gone", `node { policy = "read" }`)
		}
		accessor, secret := f.token(c[0], c[1])
		f.accessors[c[0]] = accessor
		f.add(c[0], secret)
		if c[0] == "operator" {
			f.add("operator by Bearer", secret).headers = map[string]string{"Authorization": "Bearer " + secret}
		}
	}
	f.do("DELETE", "/v1/acl/policy/gone", "", nil)
	f.add("management", f.management)
	ended := f.credentials[len(f.credentials)-2]
	eventually(f.t, "the end of a token", func() error {
		if got := f.answer(&matrixRequest{route: "GET /v1/nodes"}, f.follower, ended); got == "200" {
			return errors.New(got)
		}
		return nil
	})
}

// add adds a credential that is sent as a token.
func (f *fleet) add(name, secret string) *fleetCredential {
	c := &fleetCredential{name: name, secret: secret, client: f.ca.browser(f.t, nil)}
	if secret != "" {
		c.headers = map[string]string{"X-Nomad-Token": secret}
	}
	f.credentials = append(f.credentials, c)
	return c
}
