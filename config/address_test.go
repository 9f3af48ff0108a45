package config

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const serverAgent = "server {\n  enabled = true\n  bootstrap_expect = 1\n}\ndata_dir = \"/d\"\n"

func TestNormalizeResolvesAddresses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		src       string
		template  string
		listen    Listen
		published Published
	}{
		{name: "all addresses are bound and the private one published", src: serverAgent,
			listen:    Listen{HTTP: []string{"0.0.0.0:4646"}, RPC: "0.0.0.0:4647", Serf: "0.0.0.0:4648"},
			published: Published{HTTP: "10.9.8.7:4646", RPC: "10.9.8.7:4647", Serf: "10.9.8.7:4648"}},
		{name: "a specific address is bound and published", src: serverAgent + `bind_addr = "192.0.2.1"`,
			listen:    Listen{HTTP: []string{"192.0.2.1:4646"}, RPC: "192.0.2.1:4647", Serf: "192.0.2.1:4648"},
			published: Published{HTTP: "192.0.2.1:4646", RPC: "192.0.2.1:4647", Serf: "192.0.2.1:4648"}},
		{name: "IPv6 gets brackets", src: serverAgent + `bind_addr = "2001:db8::1"`,
			listen:    Listen{HTTP: []string{"[2001:db8::1]:4646"}, RPC: "[2001:db8::1]:4647", Serf: "[2001:db8::1]:4648"},
			published: Published{HTTP: "[2001:db8::1]:4646", RPC: "[2001:db8::1]:4647", Serf: "[2001:db8::1]:4648"}},
		{name: "a service has its own address and port",
			src:       serverAgent + "bind_addr = \"192.0.2.1\"\naddresses { rpc = \"192.0.2.2\" }\nports { rpc = 5000 }",
			listen:    Listen{HTTP: []string{"192.0.2.1:4646"}, RPC: "192.0.2.2:5000", Serf: "192.0.2.1:4648"},
			published: Published{HTTP: "192.0.2.1:4646", RPC: "192.0.2.2:5000", Serf: "192.0.2.1:4648"}},
		{name: "HTTP may have several addresses, the first specific one is published",
			src:       serverAgent + "bind_addr = \"192.0.2.1\"\naddresses { http = \"0.0.0.0 192.0.2.9 127.0.0.1\" }",
			listen:    Listen{HTTP: []string{"0.0.0.0:4646", "192.0.2.9:4646", "127.0.0.1:4646"}, RPC: "192.0.2.1:4647", Serf: "192.0.2.1:4648"},
			published: Published{HTTP: "192.0.2.9:4646", RPC: "192.0.2.1:4647", Serf: "192.0.2.1:4648"}},
		{name: "what is advertised is published, with its port if it has one",
			src:       serverAgent + "advertise {\n http = \"198.51.100.1\"\n rpc = \"198.51.100.2:7000\"\n serf = \"[2001:db8::5]:7001\"\n}",
			listen:    Listen{HTTP: []string{"0.0.0.0:4646"}, RPC: "0.0.0.0:4647", Serf: "0.0.0.0:4648"},
			published: Published{HTTP: "198.51.100.1:4646", RPC: "198.51.100.2:7000", Serf: "[2001:db8::5]:7001"}},
		{name: "templates are evaluated", template: "203.0.113.5",
			src:       serverAgent + "bind_addr = \"{{ GetPrivateIP }}\"\nadvertise { rpc = \"{{ GetPublicIP }}\" }",
			listen:    Listen{HTTP: []string{"203.0.113.5:4646"}, RPC: "203.0.113.5:4647", Serf: "203.0.113.5:4648"},
			published: Published{HTTP: "203.0.113.5:4646", RPC: "203.0.113.5:4647", Serf: "203.0.113.5:4648"}},
		{name: "port 0 stays, to be replaced by the one bound", src: serverAgent + "bind_addr = \"127.0.0.1\"\nports {\n http = 0\n rpc = 0\n serf = 0\n}",
			listen:    Listen{HTTP: []string{"127.0.0.1:0"}, RPC: "127.0.0.1:0", Serf: "127.0.0.1:0"},
			published: Published{HTTP: "127.0.0.1:0", RPC: "127.0.0.1:0", Serf: "127.0.0.1:0"}},
		{name: "a client alone has no RPC and gossip listeners", src: "client {\n enabled = true\n}\nbind_addr = \"192.0.2.1\"",
			listen:    Listen{HTTP: []string{"192.0.2.1:4646"}},
			published: Published{HTTP: "192.0.2.1:4646"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := mustParse(t, DefaultConfig(), "f.hcl", tc.src)
			for range 2 { // normalizing again changes nothing
				if err := c.normalize(lone(tc.template)); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tc.listen, c.Listen); diff != "" {
					t.Errorf("listen differs (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tc.published, c.Published); diff != "" {
					t.Errorf("published differs (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestWrongAddressesAreRefusedWithTheirLine(t *testing.T) {
	t.Parallel()
	const ipHelp = `must be an IP address or a template such as {{ GetInterfaceIP "eth0" }}, got `
	for _, tc := range []struct {
		name, src, template string
		want                []string
	}{
		{name: "a host name to bind", src: `bind_addr = "localhost"`, want: []string{"f.hcl:6: bind_addr: " + ipHelp + `"localhost"`}},
		{name: "a port in a bind address", src: `addresses { http = "127.0.0.1:80" }`,
			want: []string{"f.hcl:6: addresses.http: " + ipHelp + `"127.0.0.1:80"`}},
		{name: "an empty bind address", src: `bind_addr = ""`,
			want: []string{"f.hcl:6: bind_addr: must be an IP address or a template, got an empty string"}},
		{name: "a broken template", src: `bind_addr = "{{ broken }}"`,
			want: []string{"f.hcl:6: bind_addr: evaluate address template: no such function"}},
		{name: "a template without result", src: `bind_addr = "{{ GetPublicIP }}"`,
			want: []string{"f.hcl:6: bind_addr: the address template finds no address on this machine"}},
		{name: "a template whose result is no address", src: `advertise { rpc = "{{ x }}" }`, template: "eth0",
			want: []string{`f.hcl:6: advertise.rpc: must be IP, IP:PORT or a template, got "eth0"`}},
		{name: "several addresses for gossip", src: `addresses { serf = "127.0.0.1 10.0.0.1" }`,
			want: []string{"f.hcl:6: addresses.serf: must be one address, got 2; only addresses.http may have several"}},
		{name: "advertising several", src: `advertise { rpc = "10.0.0.1 10.0.0.2" }`,
			want: []string{"f.hcl:6: advertise.rpc: must be one address, got 2"}},
		{name: "advertising every address", src: `advertise { rpc = "0.0.0.0" }`,
			want: []string{"f.hcl:6: advertise.rpc: must be an address that others can connect to, not 0.0.0.0"}},
		{name: "advertising every IPv6 address", src: `advertise { serf = "[::]:4648" }`,
			want: []string{"f.hcl:6: advertise.serf: must be an address that others can connect to, not ::"}},
		{name: "advertising a host name", src: `advertise { http = "example.net:80" }`,
			want: []string{`f.hcl:6: advertise.http: must be IP, IP:PORT or a template, got "example.net:80"`}},
		{name: "advertising a port too large", src: `advertise { http = "10.0.0.1:65536" }`,
			want: []string{`f.hcl:6: advertise.http: must be IP, IP:PORT or a template, got "10.0.0.1:65536"`}},
		{name: "joining what is no address", src: "client { servers = [\"ok\", \"\", \"a b:1:2\", \"h:0\", \"h:99999\", \"provider=x y=z\", \"-x\"] }",
			want: []string{
				"f.hcl:6: client.servers: item 2 is empty",
				"f.hcl:6: client.servers: item 3 must be HOST or HOST:PORT",
				"f.hcl:6: client.servers: item 4 must be HOST or HOST:PORT",
				"f.hcl:6: client.servers: item 5 must be HOST or HOST:PORT",
				"f.hcl:6: client.servers: item 6 is a cloud or command query, which this version does not have; give HOST or HOST:PORT",
				"f.hcl:6: client.servers: item 7 must be HOST or HOST:PORT"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := mustParse(t, DefaultConfig(), "f.hcl", serverAgent+tc.src)
			before := c.Copy()
			if diff := cmp.Diff(tc.want, errorLines(c.normalize(lone(tc.template)))); diff != "" {
				t.Errorf("errors of Normalize differ (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, c, plain); diff != "" {
				t.Errorf("the configuration changed despite the error: %s", diff)
			}
			if diff := cmp.Diff(tc.want, errorLines(c.check(lone(tc.template)).errs.err())); diff != "" {
				t.Errorf("errors of Validate differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAMachineWithoutPrivateAddressMustBeTold(t *testing.T) {
	t.Parallel()
	none := lone("")
	none.privateIP = func() (string, error) { return "", nil }
	c := mustParse(t, DefaultConfig(), "f.hcl", serverAgent)
	const why = ": this machine has no private address to publish; set one, or a specific bind_addr"
	want := []string{"advertise.http" + why, "advertise.rpc" + why, "advertise.serf" + why}
	if diff := cmp.Diff(want, errorLines(c.normalize(none))); diff != "" {
		t.Errorf("errors differ (-want +got):\n%s", diff)
	}
	none.privateIP = func() (string, error) { return "", errors.New("no interfaces") }
	c.Advertise = Addresses{RPC: "192.0.2.1", Serf: "192.0.2.1"}
	if diff := cmp.Diff([]string{"advertise.http: look for a private address to publish: no interfaces"}, errorLines(c.normalize(none))); diff != "" {
		t.Errorf("errors differ (-want +got):\n%s", diff)
	}
	dev := DevConfig()
	dev.BindAddr = "0.0.0.0"
	if err := dev.normalize(none); err != nil || dev.Published.RPC != "127.0.0.1:4647" {
		t.Errorf("dev mode publishes %q, error %v", dev.Published.RPC, err)
	}
}

func TestNormalizeFillsInNameDirectoriesAndJoinPorts(t *testing.T) {
	t.Parallel()
	c := mustParse(t, DefaultConfig(), "f.hcl", serverAgent+`region = "eu"
client {
  servers = ["10.0.0.1", "h.example:5", "::1", "[2001:db8::1]:7", "{{ x }}"]
  server_join {
    retry_join = ["a"]
    start_join = ["b"]
  }
}
`)
	c.Server.ServerJoin.RetryJoin, c.Server.ServerJoin.StartJoin = []string{"c"}, []string{"d:9"}
	if err := c.normalize(lone("10.0.0.8 10.0.0.9")); err != nil {
		t.Fatal(err)
	}
	got := []any{c.Name, c.Server.DataDir, c.Client.StateDir, c.Server.AuthoritativeRegion, c.Client.Servers,
		c.Client.ServerJoin.RetryJoin, c.Client.ServerJoin.StartJoin, c.Server.ServerJoin.RetryJoin, c.Server.ServerJoin.StartJoin}
	want := []any{"host-1", "/d/server", "/d/client", "eu",
		[]string{"10.0.0.1:4647", "h.example:5", "[::1]:4647", "[2001:db8::1]:7", "10.0.0.8:4647", "10.0.0.9:4647"},
		[]string{"a:4647"}, []string{"b:4647"}, []string{"c:4648"}, []string{"d:9"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("filled in differs (-want +got):\n%s", diff)
	}
}

func TestNormalizeKeepsDirectoriesThatAreGivenAndChecksTheHostName(t *testing.T) {
	t.Parallel()
	c := DevConfig()
	c.DataDir, c.Server.DataDir, c.Client.StateDir = "/d", "/s", "/c"
	m := lone("")
	m.hostname = func() (string, error) { return "bad name", nil }
	want := []string{`name: the machine's name "bad name" can't be used, set another: it ` + nameHelp}
	if diff := cmp.Diff(want, errorLines(c.normalize(m))); diff != "" {
		t.Errorf("errors differ (-want +got):\n%s", diff)
	}
	m.hostname = func() (string, error) { return "", errors.New("no name") }
	want = []string{"name: ask the machine for its name: no name; set name"}
	if diff := cmp.Diff(want, errorLines(c.normalize(m))); diff != "" {
		t.Errorf("errors differ (-want +got):\n%s", diff)
	}
	c.Name = "n"
	if err := c.normalize(m); err != nil {
		t.Fatal(err)
	}
	if c.Server.DataDir != "/s" || c.Client.StateDir != "/c" || c.Name != "n" {
		t.Errorf("changed to %q %q %q", c.Server.DataDir, c.Client.StateDir, c.Name)
	}
}

func TestRealTemplatesWork(t *testing.T) {
	t.Parallel()
	c := DevConfig()
	c.Name = "n"
	c.BindAddr = `{{ GetAllInterfaces | include "flags" "loopback" | include "type" "IPv4" | limit 1 | attr "address" }}`
	if err := c.Normalize(); err != nil {
		t.Fatal(err)
	}
	if c.Listen.RPC != "127.0.0.1:4647" {
		t.Errorf("listens on %s", c.Listen.RPC)
	}
	c.BindAddr = `{{ NoSuchFunction }}`
	if err := c.Validate(); err == nil {
		t.Error("a template with an unknown function passed")
	}
}
