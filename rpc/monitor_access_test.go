package rpc

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

func (w *world) deleteToken(name string) {
	w.mustApply(structs.ACLTokenDeleteMsg, &structs.ACLTokenDeleteRequest{AccessorIDs: []string{accessorOf(name)}})
}

// logEnds reads until the log ends, which must be for want of rights.
func logEnds(t *testing.T, r *LogReader) {
	t.Helper()
	for {
		if _, err := r.Next(); err != nil {
			if code, message := structs.HTTPStatus(err); code != 403 || message != structs.ErrPermissionDenied.Error() {
				t.Errorf("the log ends with %v", err)
			}
			return
		}
	}
}

// A log that is followed lasts no longer than the rights that it was opened with, though nothing is written to it.
func TestALogEndsWithItsCallersRights(t *testing.T) {
	for name, tc := range map[string]struct {
		token string
		then  func(w *world)
	}{
		"the token ends":       {"short", func(*world) {}},
		"the token is deleted": {"reader", func(w *world) { w.deleteToken("reader") }},
		"its policy is deleted": {"reader", func(w *world) {
			w.mustApply(structs.ACLPolicyDeleteMsg, &structs.ACLPolicyDeleteRequest{Names: []string{"read"}})
		}},
		"its role is deleted": {"by role", func(w *world) {
			w.mustApply(structs.ACLRolesDeleteMsg, &structs.ACLRolesDeleteByIDRequest{ACLRoleIDs: []string{viewerRole}})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBubbleWorld(t, withACLs)
				w.addACLs()
				end := w.clock.Now().Add(5 * time.Second)
				w.mustApply(structs.ACLTokenUpsertMsg, &structs.ACLTokenUpsertRequest{Tokens: []*structs.ACLToken{{
					AccessorID: accessorOf("short"), SecretID: tokenOf("short"), Type: structs.ACLTokenClient, Policies: []string{"read"}, ExpirationTime: &end,
				}}})
				r := w.followLog(t, &structs.MonitorRequest{PlainText: true, QueryOptions: query(tokenOf(tc.token))})
				accepted(t, r)
				tc.then(w)
				start := time.Now()
				logEnds(t, r)
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("it took %s", took)
				}
				_ = r.Close()
				synctest.Wait()
			})
		})
	}
}

// The same of a log that is another's, whose rights only the server asked first may be able to judge.
func TestACarriedLogEndsWithItsCallersRights(t *testing.T) {
	for name, open := range map[string]func(t *testing.T, w *world) *LogReader{
		"of a node": func(t *testing.T, w *world) *LogReader {
			a := startAgent(t)
			a.join(t, w.listen(), 1)
			r := w.followLog(t, &structs.MonitorRequest{NodeID: nodeID(1), QueryOptions: query(tokenOf("reader"))})
			wantLog(t, r, "Agent.Monitor of "+nodeID(1))
			return r
		},
		"of another server": func(t *testing.T, w *world) *LogReader {
			other := newWorld(t, withACLs)
			other.addACLs() // and keeps the token
			w.cluster.members = []*structs.ServerMember{
				{Name: "s2.global", Addr: net.IPv4(10, 0, 0, 2), Tags: map[string]string{"region": region, "id": "raft-2", "port": "4647"}},
			}
			w.pool.worlds = map[string]*world{"10.0.0.2:4647": other}
			r := w.followLog(t, &structs.MonitorRequest{ServerID: "s2", PlainText: true, QueryOptions: query(tokenOf("reader"))})
			accepted(t, r)
			other.log.Info("what the other says")
			wantLog(t, r, "what the other says")
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, withACLs)
			w.addACLs()
			r := open(t, w)
			w.deleteToken("reader")
			logEnds(t, r)
		})
	}
}

// Rights that change and stay enough end nothing.
func TestALogGoesOnWhileItsCallerMayReadIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubbleWorld(t, withACLs)
		w.addACLs()
		r := w.followLog(t, &structs.MonitorRequest{PlainText: true, QueryOptions: query(tokenOf("reader"))})
		accepted(t, r)
		w.mustApply(structs.ACLPolicyUpsertMsg, &structs.ACLPolicyUpsertRequest{Policies: []*structs.ACLPolicy{{Name: "read", Rules: `agent { policy = "read" }`}}})
		time.AfterFunc(2*rightsCheck, func() { w.log.Info("hours later") })
		wantLog(t, r, "hours later")
		_ = r.Close()
		synctest.Wait()
	})
}
