package agent

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/certs"
	"github.com/rollcall-id/rollcall/rpc"
	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

// streamingMethods answer on a connection of their own.
var streamingMethods = []string{"Agent.Monitor", "Event.Stream", "Operator.SnapshotRestore", "Operator.SnapshotSave"}

// anyRequest has what any method needs to be about something.
func (f *fleet) anyRequest(token string) map[string]any {
	return map[string]any{
		"Region": "global", "AuthToken": token, "NodeID": f.nodes[0].ID, "Node": f.nodes[0], "Status": structs.NodeStatusReady,
		"Name": "default", "Names": []string{"default"}, "Text": "node",
	}
}

// callRPC makes a unary call and says in a line what came of it.
func (f *fleet) callRPC(pool *transport.Pool, addr, method, token string) string {
	err := pool.Call(f.t.Context(), addr, method, f.anyRequest(token), nil)
	if err == nil {
		return "ok"
	}
	text, ok := transport.RemoteText(err)
	if !ok {
		return "no connection"
	}
	for strings.HasPrefix(text, "rpc error: ") { // what was forwarded says so
		text = strings.TrimPrefix(text, "rpc error: ")
	}
	line, _, _ := strings.Cut(text, "\n")
	return varying.ReplaceAllString(line, "~")
}

// callStream starts a streaming call and says what its first message is.
func (f *fleet) callStream(pool *transport.Pool, addr, method, token string) string {
	conn, err := pool.Stream(f.t.Context(), addr, method)
	if err != nil {
		return "no connection"
	}
	defer conn.Close()
	request := f.anyRequest(token)
	delete(request, "NodeID") // the log of the server that is asked
	body, err := structs.EncodeBytes(request)
	if err != nil {
		return err.Error()
	}
	if _, err := conn.Write(body); err != nil {
		return "no connection"
	}
	if method == rpc.SnapshotRestore { // whose answer comes after an archive
		end, err := structs.EncodeBytes(&structs.StreamFrame{Error: &structs.StreamError{Message: structs.StreamEOF}})
		if err != nil {
			return err.Error()
		}
		_, _ = conn.Write(end) // who is refused is answered before
	}
	in := transport.NewReader(conn, time.Minute)
	answer, err := in.ReadValue("answer", structs.Limits{MaxBytes: 8 << 20})
	if err != nil {
		return "no connection"
	}
	var reply struct {
		ErrorCode int
		ErrorMsg  string
		Error     *structs.StreamError
	}
	if err := structs.Decode(answer, &reply); err != nil {
		return err.Error()
	}
	switch {
	case reply.Error != nil:
		return fmt.Sprintf("%d %s", *reply.Error.Code, reply.Error.Message)
	case reply.ErrorMsg != "":
		line, _, _ := strings.Cut(reply.ErrorMsg, ":")
		return fmt.Sprintf("%d %s", reply.ErrorCode, line)
	}
	return "ok"
}

// call makes either kind of call.
func (f *fleet) call(pool *transport.Pool, addr, method, token string) string {
	if slices.Contains(streamingMethods, method) {
		return f.callStream(pool, addr, method, token)
	}
	return f.callRPC(pool, addr, method, token)
}

// writeBoth writes the answers of the leader, and those of the follower where they differ.
func writeBoth(b *strings.Builder, title string, names []string, leader, follower map[string]string) {
	fmt.Fprintf(b, "\n%s\n", title)
	writeAnswers(b, names, leader)
	if !maps.Equal(leader, follower) {
		b.WriteString("  through a follower\n")
		var own strings.Builder
		writeAnswers(&own, names, follower)
		b.WriteString(strings.ReplaceAll("  "+strings.TrimSuffix(own.String(), "\n"), "\n", "\n  ") + "\n")
	}
}

// TestWhoMayCallByCertificateAndFollowStreams calls every RPC method with every kind of certificate and no token, and every
// streaming method with every credential, at the leader and through a follower, over TLS, and compares the answers with
// testdata/rpc.golden. What tokens do for the other methods is in rpc/testdata/acl.golden.
func TestWhoMayCallByCertificateAndFollowStreams(t *testing.T) {
	f := newACLFleet(t)
	methods := rpc.New(rpc.DefaultConfig("global"), rpc.Deps{Logger: hclog.NewNullLogger()}).Methods()
	foreign := newAuthority(t)
	pools := map[string]*transport.Pool{
		"server certificate": f.dialAs(certs.RoleServer), "client certificate": f.dialAs(certs.RoleClient), "no certificate": f.dialAs(""),
		"certificate of another authority": dial(f.ca.outgoing(t, foreign, certs.RoleServer)), "no TLS": transport.NewPool(transport.PoolConfig{}),
	}
	for _, p := range pools {
		t.Cleanup(func() { _ = p.Close() })
	}
	var b strings.Builder
	b.WriteString("# What each method answers over TLS to each kind of certificate, without a token, with ACLs on; and, below, each streaming\n" +
		"# method to each credential, with a node's certificate. Where a follower answers something else, that stands below.\n")
	kinds := slices.Sorted(maps.Keys(pools))
	for _, name := range slices.Sorted(maps.Keys(methods)) {
		leader, follower := map[string]string{}, map[string]string{}
		for _, kind := range kinds {
			leader[kind] = f.call(pools[kind], f.rpc[f.leader], name, "")
			follower[kind] = f.call(pools[kind], f.rpc[f.follower], name, "")
		}
		writeBoth(&b, name, kinds, leader, follower)
	}
	var names []string
	for _, c := range f.credentials {
		if !strings.HasSuffix(c.name, " certificate") && !strings.HasSuffix(c.name, "by Bearer") {
			names = append(names, c.name)
		}
	}
	for _, name := range streamingMethods {
		leader, follower := map[string]string{}, map[string]string{}
		for _, c := range f.credentials {
			if slices.Contains(names, c.name) {
				leader[c.name] = f.callStream(pools["client certificate"], f.rpc[f.leader], name, c.secret)
				follower[c.name] = f.callStream(pools["client certificate"], f.rpc[f.follower], name, c.secret)
			}
		}
		writeBoth(&b, name+" by credential", names, leader, follower)
	}
	golden(t, "rpc.golden", b.String())
}
