package structs

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What a newer version, or another product, has written into a record comes out again where it was.
func TestRecordsKeepWhatThisVersionDoesNotKnow(t *testing.T) {
	in := map[string]any{
		"AccessorID": "a", "SecretID": "s", "Policies": []string{"p"}, "Type": "client", "CreateTime": time.Unix(5, 0).UTC(),
		"Future": map[string]any{"Deep": []any{int64(1), "x"}}, "Big": int64(70000), "None": nil,
	}
	raw, err := EncodeBytes(in)
	if err != nil {
		t.Fatal(err)
	}
	var token ACLToken
	if err := Decode(raw, &token); err != nil {
		t.Fatal(err)
	}
	if token.AccessorID != "a" || token.SecretID != "s" || len(token.Rest) == 0 {
		t.Fatalf("decoded %+v", token)
	}
	token.HideSecret()
	out, err := EncodeBytes(&token)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := Decode(out, &got); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"Future", "Big", "None"} {
		if diff := cmp.Diff(in[key], got[key]); diff != "" {
			t.Errorf("%s: %s", key, diff)
		}
	}
	var again ACLToken
	if err := Decode(out, &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(token, again); diff != "" {
		t.Errorf("read back: %s", diff)
	}
	// In a list, behind a pointer, with a nil beside it: as commands carry them.
	list, err := EncodeBytes(&ACLTokenUpsertRequest{Tokens: []*ACLToken{&token, nil}})
	if err != nil {
		t.Fatal(err)
	}
	var req ACLTokenUpsertRequest
	if err := Decode(list, &req); err != nil || len(req.Tokens) != 2 || req.Tokens[1] != nil {
		t.Fatalf("%+v, %v", req.Tokens, err)
	}
	if diff := cmp.Diff(&token, req.Tokens[0]); diff != "" {
		t.Error(diff)
	}
}

func FuzzACLRecordsAreReadAndWritten(f *testing.F) {
	for _, v := range []any{&ACLToken{AccessorID: "a", Roles: []*ACLTokenRoleLink{nil}}, map[string]any{"Name": "x", "Other": []any{nil}}, nil, 5} {
		b, err := EncodeBytes(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, v := range []any{new(ACLToken), new(ACLPolicy), new(ACLRole)} {
			if Decode(b, v) != nil {
				continue
			}
			out, err := EncodeBytes(v)
			if err != nil {
				t.Fatalf("%T was read and can't be written: %v", v, err)
			}
			if err := Decode(out, v); err != nil {
				t.Fatalf("%T was written and can't be read: %v", v, err)
			}
		}
	})
}

func TestTokensInJSON(t *testing.T) {
	at := time.Unix(100, 0).UTC()
	for name, tc := range map[string]struct {
		token ACLToken
		want  string
	}{
		"without an end": {ACLToken{AccessorID: "a", SecretHash: []byte{1}}, `"ExpirationTTL":""`},
		"with one":       {ACLToken{ExpirationTime: &at, ExpirationTTL: 90 * time.Minute}, `"ExpirationTTL":"1h30m0s"`},
	} {
		b, err := json.Marshal(&tc.token)
		if err != nil || !strings.Contains(string(b), tc.want) || strings.Contains(string(b), "SecretHash") || strings.Count(string(b), "ExpirationTTL") != 1 {
			t.Errorf("%s: %s, %v", name, b, err)
		}
	}
	for in, want := range map[string]time.Duration{`{"ExpirationTTL":"2h"}`: 2 * time.Hour, `{"ExpirationTTL":""}`: 0, `{"ExpirationTTL":60000000000}`: time.Minute, `{"Name":"x"}`: 0} {
		var token ACLToken
		if err := json.Unmarshal([]byte(in), &token); err != nil || token.ExpirationTTL != want {
			t.Errorf("%s: %v, %v", in, token.ExpirationTTL, err)
		}
	}
	if err := json.Unmarshal([]byte(`{"ExpirationTTL":"soon"}`), new(ACLToken)); err == nil {
		t.Error("a TTL that is none was taken")
	}
}

func TestACLValidation(t *testing.T) {
	long := strings.Repeat("x", 257)
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"no token":                        {(*ACLToken)(nil).Validate(), "missing"},
		"a client token that may nothing": {(&ACLToken{Type: "client"}).Validate(), "missing policies or roles"},
		"a management token with some":    {(&ACLToken{Type: "management", Policies: []string{"p"}}).Validate(), "cannot be associated"},
		"another type":                    {(&ACLToken{Type: "root"}).Validate(), `token type "root" is not known`},
		"a long name":                     {(&ACLToken{Type: "management", Name: long}).Validate(), "257 bytes long"},
		"a client token":                  {(&ACLToken{Type: "client", Policies: []string{"p"}}).Validate(), ""},
		"a client token with a role":      {(&ACLToken{Type: "client", Roles: []*ACLTokenRoleLink{{ID: "r"}}}).Validate(), ""},
		"no policy":                       {(*ACLPolicy)(nil).Validate(), "missing"},
		"a policy with a bad name":        {(&ACLPolicy{Name: "a b"}).Validate(), `invalid policy name "a b"`},
		"a policy with a long text":       {(&ACLPolicy{Name: "a", Description: long}).Validate(), "257 bytes long"},
		"a policy":                        {(&ACLPolicy{Name: "a-1"}).Validate(), ""},
		"no role":                         {(*ACLRole)(nil).Validate(), "missing"},
		"a role without policies":         {(&ACLRole{Name: "a"}).Validate(), "role has no policy"},
		"a role with a nameless policy":   {(&ACLRole{Name: "a", Policies: []*ACLRolePolicyLink{{}}}).Validate(), "without a name"},
	} {
		if got := tc.err; tc.want == "" && got != nil || tc.want != "" && (got == nil || !strings.Contains(got.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", name, got, tc.want)
		}
	}
}

func TestATokenEndsAtItsTimeToTheSecond(t *testing.T) {
	end := time.Unix(1000, 0)
	token := &ACLToken{ExpirationTime: &end}
	if token.Expired(end.Add(-time.Nanosecond)) || !token.Expired(end) || (&ACLToken{}).Expired(end) || (&ACLToken{ExpirationTime: new(time.Time)}).Expired(end) {
		t.Error("a token's end is off")
	}
}

// The hashes are compared between servers and shown to clients: they are what wire.md §5.5 says.
func TestACLHashesArePinned(t *testing.T) {
	token := &ACLToken{Name: "n", Type: "client", Policies: []string{"a", "b"}, Roles: []*ACLTokenRoleLink{{ID: "r"}}}
	token.SetHash()
	policy := &ACLPolicy{Name: "n", Description: "d", Rules: "r", JobACL: &JobACL{"ns", "j", "g", "t"}}
	policy.SetHash()
	same := &ACLToken{Name: "nclient", Policies: []string{"ab"}, Roles: []*ACLTokenRoleLink{nil, {ID: "r"}}}
	same.SetHash() // the field order, not their borders, is what the hash has
	if len(token.Hash) != 32 || len(policy.Hash) != 32 || hex.EncodeToString(token.Hash) != hex.EncodeToString(same.Hash) {
		t.Errorf("token %x, %x, policy %x", token.Hash, same.Hash, policy.Hash)
	}
	global := *token
	global.Global = true
	global.SetHash()
	if hex.EncodeToString(global.Hash) == hex.EncodeToString(token.Hash) {
		t.Error("a global token has the hash of a local one")
	}
}
