package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write golden files anew")

func TestRedactedViewOfTheExample(t *testing.T) {
	t.Parallel()
	c, err := Load(DefaultConfig(), "testdata/example.hcl")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.normalize(lone("")); err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(c.Redacted(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	const golden = "testdata/example.redacted.json"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("the view differs from %s (write it anew with -update):\n%s", golden, got)
	}
}

func TestRedactedHidesEverySecret(t *testing.T) {
	t.Parallel()
	const secret = "Sup3rS3cret"
	c := DefaultConfig()
	c.Server.Encrypt, c.ACL.ReplicationToken = secret, secret
	c.Keyrings = []Keyring{{Provider: "transit", Options: map[string]string{"token": secret}}}
	text, err := json.Marshal(c.Redacted())
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte(secret)) {
		t.Errorf("the view holds a secret: %s", text)
	}
	if n := strings.Count(string(text), `redacted`); n != 3 {
		t.Errorf("%d secrets are shown as set, want 3", n)
	}
	c.Server.Encrypt = ""
	server, ok := c.Redacted()["Server"].(map[string]any)
	if !ok || server["Encrypt"] != "" {
		t.Errorf("a secret that is not set shows as %v", server["Encrypt"])
	}
}

func TestRedactedSharesNothing(t *testing.T) {
	t.Parallel()
	c := DevConfig()
	c.Client.Meta, c.Client.Servers = map[string]string{"a": "b"}, []string{"s"}
	client, ok := c.Redacted()["Client"].(map[string]any)
	if !ok {
		t.Fatal("no Client")
	}
	meta, metaOK := client["Meta"].(map[string]any)
	servers, serversOK := client["Servers"].([]string)
	if !metaOK || !serversOK {
		t.Fatalf("Meta is %T, Servers %T", client["Meta"], client["Servers"])
	}
	meta["a"], servers[0] = "x", "x"
	if c.Client.Meta["a"] != "b" || c.Client.Servers[0] != "s" {
		t.Error("changing the view changed the configuration")
	}
}
