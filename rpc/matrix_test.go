package rpc

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/certs"
	"github.com/rollcall-id/rollcall/structs"
)

// aclCredentials are the columns of the matrix: ways to present oneself to a cluster with ACLs on. Node 1 is the one that
// requests are about.
var aclCredentials = []credential{
	{"none", none},
	{"unknown UUID", func(*world) string { return secretOf(9) }},
	{"own secret", bySecret},
	{"other secret", func(*world) string { return secretOf(2) }},
	{"own identity", func(w *world) string { return w.identity(1, t0, time.Hour) }},
	{"other identity", func(w *world) string { return w.identity(2, t0, time.Hour) }},
	{"expired identity", func(w *world) string { return w.expiredIdentity(1) }},
	{"introduction", introduced},
	{"workload", (*world).workload},
	{"removed key", credentials[len(credentials)-1].token},
	{"garbage", func(*world) string { return "eyJhbGciOiJub25lIn0.e30." }},
	{"read-only", func(*world) string { return tokenOf("reader") }},
	{"read-only by role", func(*world) string { return tokenOf("by role") }},
	{"operator", func(*world) string { return tokenOf("operator") }},
	{"pools edge-*", func(*world) string { return tokenOf("edge") }},
	{"keys", func(*world) string { return tokenOf("keys") }},
	{"snapshot-save", func(*world) string { return tokenOf("saver") }},
	{"no policy", func(*world) string { return tokenOf("nothing") }},
	{"ended", func(*world) string { return tokenOf("ended") }},
	{"management", func(*world) string { return tokenOf("management") }},
	{"server cert", none},
	{"client cert", none},
}

// streamRequests has one valid request for every streaming method.
var streamRequests = map[string]func(token string) any{
	"Operator.SnapshotSave":    func(t string) any { return &structs.SnapshotSaveRequest{QueryOptions: query(t)} },
	"Operator.SnapshotRestore": func(t string) any { return &structs.SnapshotRestoreRequest{WriteRequest: write(t)} },
	"Agent.Monitor":            func(t string) any { return &structs.MonitorRequest{QueryOptions: query(t)} },
	"Event.Stream":             func(t string) any { return &structs.EventStreamRequest{QueryOptions: query(t)} },
}

// certificates are shown in the columns of that name, where names are verified; in the others the peer is known to be in
// order, as it is where TLS is off.
var certificates = map[string]*tls.ConnectionState{
	"server cert": certificateOf("server.global.nomad"), "client cert": certificateOf("client.global.nomad"),
}

func certificateOf(name string) *tls.ConnectionState {
	cert := &x509.Certificate{DNSNames: []string{name}}
	return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert}}}
}

// answerTo runs a method with a credential and says what came of it.
func answerTo(t *testing.T, w *world, name, column, token string) string {
	t.Helper()
	m := w.srv.methods[name]
	var sm *streamMethod
	if m == nil {
		sm = w.srv.streams[name]
		m = &sm.method
	}
	request := requests[name]
	if sm != nil {
		request = streamRequests[name]
	}
	if request == nil {
		t.Fatalf("there is no request for %s", name)
	}
	req := m.newRequest()
	body, err := structs.EncodeBytes(request(token))
	if err != nil {
		t.Fatal(err)
	}
	if err := structs.Decode(body, req); err != nil {
		t.Fatal(err)
	}
	before := w.raft.count()
	if state := certificates[column]; state != nil {
		err = w.certified(m, req, state)
	} else if sm != nil {
		err = w.authorizeOnly(m, req)
	} else {
		_, err = w.srv.run(t.Context(), nil, m, req)
	}
	if n := w.raft.count() - before; errors.Is(err, structs.ErrPermissionDenied) && n != 0 {
		t.Errorf("%s by %s was refused and proposed %d commands", name, column, n)
	}
	if err == nil {
		return "ok"
	}
	if token != "" && strings.Contains(err.Error(), token) {
		t.Errorf("%s by %s: the credential is in the error", name, column)
	}
	return err.Error()
}

// authorizeOnly takes a request as far as the endpoint.
func (w *world) authorizeOnly(m *method, req structs.RPCRequest) error {
	c := &Call{ctx: w.t.Context(), srv: w.srv, method: m, now: w.clock.Now(), token: req.Token()}
	if err := c.authenticate(); err != nil {
		return err
	}
	return c.authorize(req)
}

// certified is authorizeOnly for a peer with a certificate.
func (w *world) certified(m *method, req structs.RPCRequest, state *tls.ConnectionState) error {
	if roles := m.access.auth().peerRoles(); len(roles) > 0 {
		if err := certs.CheckRole(state, region, roles...); err != nil {
			return fmt.Errorf("%w: %w", structs.ErrPermissionDenied, err)
		}
	}
	return w.authorizeOnly(m, req)
}

// followerOf is another server of the same cluster: it has the same state and keys and knows who leads.
func followerOf(t *testing.T, w *world) *world {
	f := newWorld(t, withACLs)
	f.fsm, f.kr = w.fsm, w.kr
	f.leader.follows("10.0.0.1:4647")
	f.pool.worlds = map[string]*world{"10.0.0.1:4647": w}
	return f
}

// TestWhoMayDoWhatWithACLs calls every method with every credential, at the leader and through a follower, and compares
// with testdata/acl.golden.
func TestWhoMayDoWhatWithACLs(t *testing.T) {
	var b strings.Builder
	b.WriteString("# What each method answers to each credential with ACLs on. Requests are about node 1, whose credentials are \"own\".\n" +
		"# Where a follower answers something else, that stands in a second line.\n")
	var shared *world
	untouched := 0
	fresh := func(t *testing.T) *world { // a world that is as it was made
		if shared == nil || shared.raft.count() != untouched {
			shared = newACLFleet(t)
			untouched = shared.raft.count()
		}
		return shared
	}
	methods := newWorld(t).srv.Methods()
	for _, name := range slices.Sorted(maps.Keys(methods)) {
		fmt.Fprintf(&b, "\n%s: %s\n", name, methods[name].WithACLs())
		for _, c := range aclCredentials {
			w := fresh(t)
			leader := answerTo(t, w, name, c.name, c.token(w))
			fmt.Fprintf(&b, "  %-18s %s\n", c.name, leader)
			if w.srv.streams[name] != nil || certificates[c.name] != nil {
				continue // checked where they are answered; a follower passes bytes on
			}
			w = fresh(t)
			follower := answerTo(t, followerOf(t, w), name, c.name, c.token(w))
			if follower = strings.TrimPrefix(follower, "rpc error: "); follower != leader {
				fmt.Fprintf(&b, "  %-18s %s\n", "  at a follower", follower)
			}
		}
	}
	golden(t, "acl.golden", b.String())
}
