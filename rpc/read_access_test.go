package rpc

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

// readerWaits is a blocking query for nodes, by that credential, that waits for a minute.
func readerWaits(w *world, secret string) *waiting[structs.NodeListResponse] {
	q := blocking(must(w.fsm.State().Index("nodes"))(w.t), time.Minute)
	q.AuthToken = secret
	return wait[structs.NodeListResponse](w.t.Context(), w, "Node.List", &structs.NodeListRequest{QueryOptions: q})
}

func TestABlockingQueryEndsWithItsCallersRights(t *testing.T) {
	for name, tc := range endsOfRights {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, secret := newWorldOfRights(t, tc.token)
				w.join(1)
				q := readerWaits(w, secret)
				tc.then(w)
				<-q.done
				wantError(t, q.err, structs.ErrPermissionDenied)
				if q.took > 10*time.Second {
					t.Errorf("it took %s, when the rights have long ended", q.took)
				}
			})
		})
	}
}

func TestABlockingQueryThatMayLessThanBeforeShowsLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := newWorldOfRights(t, "edge")
		w.setPool("edge-1", time.Hour)
		w.setPool("other", time.Hour)
		q := blocking(must(w.fsm.State().Index("node_pools"))(t), time.Minute)
		q.AuthToken = tokenOf("edge")
		asked := wait[structs.NodePoolListResponse](t.Context(), w, "NodePool.List", &structs.NodePoolListRequest{QueryOptions: q})
		w.mustApply(structs.ACLPolicyUpsertMsg, &structs.ACLPolicyUpsertRequest{Policies: []*structs.ACLPolicy{{Name: "edge", Rules: `node_pool "other" { policy = "read" }`}}})
		if asked.answered() {
			t.Fatalf("answered before a pool has changed: %+v, %v", asked.reply, asked.err)
		}
		w.setPool("edge-2", time.Hour)
		<-asked.done
		if asked.err != nil || len(asked.reply.NodePools) != 1 || asked.reply.NodePools[0].Name != "other" {
			t.Errorf("shown %+v, %v; want the pool of the new policy alone", asked.reply, asked.err)
		}
	})
}

// What is no ACL token is asked once: a node's identity is renewed while its queries wait.
func TestANodesBlockingQueryOutlivesItsIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubbleWorld(t, withACLs)
		w.join(1)
		q := blocking(must(w.fsm.State().Index("nodes"))(t), 5*time.Minute)
		q.AuthToken = w.identity(1, w.clock.Now(), time.Second)
		asked := wait[structs.SingleNodeResponse](t.Context(), w, "Node.GetNode", &structs.NodeSpecificRequest{NodeID: nodeID(1), QueryOptions: q})
		time.Sleep(4 * time.Minute)
		w.setStatus(1, structs.NodeStatusDown)
		<-asked.done
		if asked.err != nil || asked.reply.Node == nil || asked.reply.Node.Status != structs.NodeStatusDown {
			t.Errorf("answered %+v, %v", asked.reply, asked.err)
		}
	})
}
