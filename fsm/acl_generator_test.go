package fsm

import (
	"fmt"
	"time"

	"github.com/rollcall-id/rollcall/structs"
)

func (g *generator) accessor() string { return uuid(800 + g.r.IntN(8)) }
func (g *generator) roleID() string   { return uuid(820 + g.r.IntN(4)) }
func (g *generator) policy() string   { return g.pick("ops", "read", "ci") }

func (g *generator) token() *structs.ACLToken {
	t := &structs.ACLToken{
		AccessorID: g.accessor(), SecretID: uuid(1<<26 + g.r.IntN(8)), Name: fmt.Sprint("token ", g.r.IntN(9)), Type: g.pick("client", "management"),
		Policies: []string{g.policy(), g.policy()}, Roles: []*structs.ACLTokenRoleLink{{ID: g.roleID()}}, Global: g.yes(), CreateTime: g.time(),
	}
	if g.yes() { // as our endpoints write it
		t.HideSecret()
	}
	if g.yes() {
		at := g.time()
		t.ExpirationTime, t.ExpirationTTL = &at, time.Hour
	}
	if g.rarely() {
		t.AccessorID = ""
	}
	return t
}

func (g *generator) aclCommand(w structs.WriteRequest) (structs.MessageType, any) {
	switch g.r.IntN(14) {
	case 0, 1, 2:
		p := &structs.ACLPolicy{Name: g.policy(), Description: fmt.Sprint(g.r.IntN(9)), Rules: "node { policy = \"read\" }"}
		if g.yes() {
			p.JobACL = &structs.JobACL{Namespace: "default", JobID: "j"}
		}
		if g.rarely() {
			p.Name = ""
		}
		return structs.ACLPolicyUpsertMsg, &structs.ACLPolicyUpsertRequest{Policies: []*structs.ACLPolicy{p}, WriteRequest: w}
	case 3:
		return structs.ACLPolicyDeleteMsg, &structs.ACLPolicyDeleteRequest{Names: []string{g.policy()}, WriteRequest: w}
	case 4, 5:
		return structs.ACLTokenUpsertMsg, &structs.ACLTokenUpsertRequest{Tokens: []*structs.ACLToken{g.token(), g.token()}, WriteRequest: w}
	case 6:
		return structs.ACLTokenDeleteMsg, &structs.ACLTokenDeleteRequest{AccessorIDs: []string{g.accessor()}, WriteRequest: w}
	case 7:
		return structs.ACLTokenBootstrapMsg, &structs.ACLTokenBootstrapCommand{Token: g.token(), ResetIndex: g.r.Uint64N(3), WriteRequest: w}
	case 8, 9:
		r := &structs.ACLRole{ID: g.roleID(), Name: g.pick("admin", "viewer", "auditor"), Policies: []*structs.ACLRolePolicyLink{{Name: g.policy()}}}
		return structs.ACLRolesUpsertMsg, &structs.ACLRolesUpsertRequest{ACLRoles: []*structs.ACLRole{r}, AllowMissingPolicies: g.yes(), WriteRequest: w}
	case 10:
		return structs.ACLRolesDeleteMsg, &structs.ACLRolesDeleteByIDRequest{ACLRoleIDs: []string{g.roleID()}, WriteRequest: w}
	case 11:
		o := &structs.OneTimeToken{OneTimeSecretID: uuid(1<<27 + g.r.IntN(20)), AccessorID: g.accessor(), ExpiresAt: g.time(), Sealed: []byte("sealed")}
		if g.yes() {
			o.HideSecret()
		}
		if g.rarely() {
			o.AccessorID = ""
		}
		return structs.OneTimeTokenUpsertMsg, o
	case 12:
		return structs.OneTimeTokenDeleteMsg, &structs.OneTimeTokenDeleteRequest{AccessorIDs: []string{g.accessor()}, WriteRequest: w}
	}
	return structs.OneTimeTokenExpireMsg, &structs.OneTimeTokenExpireRequest{Timestamp: g.time(), WriteRequest: w}
}
