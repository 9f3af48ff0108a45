package httpapi

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGossipKeysAreTheServers(t *testing.T) {
	body := `{"Key":"` + gossipKey + `"}`
	srv := &fakeServer{}
	api := newAPI(t, &fakeRPC{}, srv, nil)
	want(t, do(api, "GET", "/v1/agent/keyring/list", ""), 200, `{"Messages":null,"Keys":{"`+gossipKey+`":2},"NumNodes":3}`)
	for _, what := range []string{"install", "use", "remove"} {
		want(t, do(api, "PUT", "/v1/agent/keyring/"+what, body), 200, `{"Messages":null,"Keys":null,"NumNodes":3}`)
		want(t, do(api, "PUT", "/v1/agent/keyring/"+what, `{"Key":"AAAA"}`), 400,
			"a gossip key is 16, 24 or 32 bytes in standard base64; 'rollcall operator gossip keyring generate' makes one")
		if w := do(api, "PUT", "/v1/agent/keyring/"+what, `[`); w.Code != 400 {
			t.Errorf("a body that is none: %d", w.Code)
		}
		if w := do(api, "GET", "/v1/agent/keyring/"+what, ""); w.Code != 405 {
			t.Errorf("GET of %s: %d", what, w.Code)
		}
	}
	if diff := cmp.Diff([]string{"install " + gossipKey, "use " + gossipKey, "remove " + gossipKey}, srv.gossip); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	node := newAPI(t, &fakeRPC{}, nil, &fakeClient{})
	want(t, do(node, "GET", "/v1/agent/keyring/list", ""), 501, "this agent is not a server")
	want(t, do(node, "PUT", "/v1/agent/keyring/install", body), 501, "this agent is not a server")
}
