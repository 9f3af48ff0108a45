package agent

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-metrics"

	"github.com/rollcall-id/rollcall/config"
)

// get reads a path of the API into out.
func get(t *testing.T, addr, path string, out any) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, body)
	}
	if text, ok := out.(*string); ok {
		*text = string(body)
		return nil
	}
	return json.Unmarshal(body, out)
}

func TestDevModeIsReadyInThreeSecondsAndStopsAtASignal(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			began := time.Now()
			p := launch(t, Options{Config: parse(t, config.DevConfig(), anyPort)})
			addr := p.httpAddr(t)
			eventually(t, "a node that is ready", func() error {
				var nodes []struct{ Status string }
				if err := get(t, addr, "/v1/nodes", &nodes); err != nil {
					return err
				}
				if len(nodes) != 1 || nodes[0].Status != "ready" {
					return fmt.Errorf("nodes %v", nodes)
				}
				return nil
			})
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("ready after %v, want under 3 s", took)
			}
			p.signals <- sig
			if err := p.wait(t); err != nil {
				t.Errorf("ended with %v", err)
			}
			if _, err := net.Dial("tcp", addr); err == nil {
				t.Error("the HTTP port is still open")
			}
			if !strings.Contains(p.log.String(), "[INFO]  rollcall: stopped") {
				t.Error("the log does not say that the agent stopped")
			}
		})
	}
}

func TestAReloadTakesOverAllOrNothing(t *testing.T) {
	given := anyPort + "log_level = \"info\"\n"
	tests := []struct {
		name     string
		next     func(t *testing.T) (*config.Config, error)
		says     string
		logLevel string
		ttl      float64
	}{
		{"what may change", func(t *testing.T) (*config.Config, error) {
			return parse(t, config.DevConfig(), anyPort+"log_level = \"debug\"\nserver { min_heartbeat_ttl = \"33s\" }\n"), nil
		}, "configuration reloaded", "debug", 33e9},
		{"nothing new", func(t *testing.T) (*config.Config, error) {
			return parse(t, config.DevConfig(), given), nil
		}, "configuration reloaded", "info", 10e9},
		{"files that are wrong", func(*testing.T) (*config.Config, error) {
			return nil, errors.New("rollcall.hcl:3: unknown key")
		}, "rollcall.hcl:3: unknown key", "info", 10e9},
		{"something that needs a restart beside what may change", func(t *testing.T) (*config.Config, error) {
			return parse(t, config.DevConfig(), anyPort+"log_level = \"debug\"\ndatacenter = \"dc2\"\n"), nil
		}, `need a restart: settings=["datacenter"]`, "info", 10e9},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := launch(t, Options{
				Config: parse(t, config.DevConfig(), given),
				Reload: func() (*config.Config, error) { return tt.next(t) },
			})
			addr := p.httpAddr(t)
			p.signals <- syscall.SIGHUP
			eventually(t, "the log to say "+tt.says, func() error {
				if !strings.Contains(p.log.String(), tt.says) {
					return errors.New("it does not")
				}
				return nil
			})
			p.signals <- syscall.SIGHUP // taken only when the first was dealt with
			var self struct {
				Config struct {
					LogLevel   string
					Datacenter string
					Server     struct{ MinHeartbeatTTL float64 }
				} `json:"config"`
			}
			if err := get(t, addr, "/v1/agent/self", &self); err != nil {
				t.Fatal(err)
			}
			if c := self.Config; c.LogLevel != tt.logLevel || c.Server.MinHeartbeatTTL != tt.ttl || c.Datacenter != "dc1" {
				t.Errorf("the agent runs with %+v, want level %s, TTL %v", c, tt.logLevel, tt.ttl)
			}
		})
	}
}

// What SIGHUP does can be asked for by HTTP, which also tells how it went.
func TestAReloadByHTTPDoesWhatTheSignalDoes(t *testing.T) {
	next := make(chan string, 2)
	p := launch(t, Options{
		Config: parse(t, config.DevConfig(), anyPort+"log_level = \"info\"\n"),
		Reload: func() (*config.Config, error) { return parse(t, config.DevConfig(), anyPort+<-next), nil },
	})
	addr := p.httpAddr(t)
	for _, tc := range []struct {
		text, says string
		code       int
	}{
		{"datacenter = \"dc2\"\n", "configuration not reloaded: these settings changed and need a restart: datacenter", 400},
		{"log_level = \"debug\"\n", "", 200},
	} {
		next <- tc.text
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+addr+"/v1/agent/reload", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != tc.code || string(body) != tc.says {
			t.Errorf("%q: answered %d %q, error %v, want %d %q", tc.text, res.StatusCode, body, err, tc.code, tc.says)
		}
	}
	var self struct {
		Config struct{ LogLevel, Datacenter string } `json:"config"`
	}
	if err := get(t, addr, "/v1/agent/self", &self); err != nil || self.Config.LogLevel != "debug" || self.Config.Datacenter != "dc1" {
		t.Errorf("the agent runs with %+v, error %v", self.Config, err)
	}
}

func TestAReloadWithoutFilesSaysSo(t *testing.T) {
	p := launch(t, Options{Config: parse(t, config.DevConfig(), anyPort)})
	p.httpAddr(t)
	p.signals <- syscall.SIGHUP
	eventually(t, "the log to say so", func() error {
		if !strings.Contains(p.log.String(), "nothing to reload") {
			return errors.New("it does not")
		}
		return nil
	})
}

func TestAPortThatIsTakenEndsTheStartAndLeavesNothingBehind(t *testing.T) {
	for _, name := range []string{"http", "rpc", "serf"} {
		t.Run(name, func(t *testing.T) {
			port := takenPort(t)
			text := strings.Replace(anyPort, fmt.Sprintf("%-4s = 0", name), fmt.Sprintf("%s = %d", name, port), 1)
			p := launch(t, Options{Config: parse(t, config.DevConfig(), text)})
			err := p.wait(t)
			if err == nil || !strings.Contains(err.Error(), fmt.Sprint(port)) || !strings.Contains(err.Error(), "address already in use") {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

func TestAServerThatFailsEndsTheAgentWithTheReason(t *testing.T) {
	text := anyPort + `
bind_addr = "127.0.0.1"
data_dir  = "` + t.TempDir() + `"
server {
  enabled          = true
  bootstrap_expect = 3
  server_join {
    retry_join     = ["127.0.0.1:1"]
    retry_interval = "1ms"
    retry_max      = 2
  }
}
`
	p := launch(t, Options{Config: parse(t, config.DefaultConfig(), text)})
	if err := p.wait(t); err == nil || !strings.Contains(err.Error(), "giving up after 2 tries") {
		t.Errorf("ended with %v", err)
	}
}

func TestADataDirectoryThatIsRefusedEndsTheStart(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "server"), 0o700),
		os.WriteFile(filepath.Join(dir, "server", "node-id"), []byte("me"), 0o600)); err != nil {
		t.Fatal(err)
	}
	text := anyPort + "bind_addr = \"127.0.0.1\"\ndata_dir = \"" + dir + "\"\nserver {\n enabled = true\n bootstrap_expect = 1\n}\n"
	p := launch(t, Options{Config: parse(t, config.DefaultConfig(), text)})
	if err := p.wait(t); err == nil || !strings.Contains(err.Error(), "start server") || !strings.Contains(err.Error(), "node-id") {
		t.Errorf("ended with %v", err)
	}
}

func TestOnlyTheConfiguredSignalLeavesTheCluster(t *testing.T) {
	tests := []struct {
		name   string
		text   string
		signal os.Signal
		leaves bool
	}{
		{"SIGTERM by default", "", syscall.SIGTERM, false},
		{"SIGTERM with leave_on_terminate", "leave_on_terminate = true\n", syscall.SIGTERM, true},
		{"SIGINT with leave_on_terminate", "leave_on_terminate = true\n", os.Interrupt, false},
		{"SIGINT with leave_on_interrupt", "leave_on_interrupt = true\n", os.Interrupt, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := launch(t, Options{Config: parse(t, config.DevConfig(), anyPort+tt.text)})
			p.httpAddr(t)
			p.signals <- tt.signal
			if err := p.wait(t); err != nil {
				t.Fatal(err)
			}
			// The gossip library complains about members that shut down without leaving.
			if left := !strings.Contains(p.log.String(), "Shutdown without a Leave"); left != tt.leaves {
				t.Errorf("left the cluster: %v, want %v", left, tt.leaves)
			}
		})
	}
}

func TestNothingSecretIsLoggedOrShown(t *testing.T) {
	kek, encrypt := []byte("KEK-MARKER-0123456789abcdefghijk"), []byte("ENC-MARKER-0123456789abcdefghijk")
	file := filepath.Join(t.TempDir(), "kek")
	if err := os.WriteFile(file, []byte(base64.StdEncoding.EncodeToString(kek)), 0o600); err != nil {
		t.Fatal(err)
	}
	text := anyPort + "log_level = \"trace\"\nserver { encrypt = \"" + base64.StdEncoding.EncodeToString(encrypt) + "\" }\n" +
		"keyring \"aead\" {\n active = true\n kek_file = \"" + file + "\"\n}\n"
	const intro = "INTRO-MARKER.e30.c2ln"
	p := launch(t, Options{Config: parse(t, config.DevConfig(), text), IntroToken: intro})
	addr := p.httpAddr(t)
	var shown string
	eventually(t, "the agent's description", func() error { return get(t, addr, "/v1/agent/self", &shown) })
	p.signals <- syscall.SIGTERM
	if err := p.wait(t); err != nil {
		t.Fatal(err)
	}
	for where, content := range map[string]string{"the log": p.log.String(), "/v1/agent/self": shown} {
		for _, secret := range []string{"MARKER", base64.StdEncoding.EncodeToString(kek), base64.StdEncoding.EncodeToString(encrypt), "eyJ"} {
			if i := strings.Index(content, secret); i >= 0 {
				t.Errorf("%s holds %q: ...%s...", where, secret, content[max(0, i-60):min(len(content), i+60)])
			}
		}
	}
	if !strings.Contains(p.log.String(), "[TRACE]") && !strings.Contains(p.log.String(), "[DEBUG]") {
		t.Error("the log was not at its most talkative")
	}
}

func TestMetricsGoToEveryConfiguredPlaceAndStopWithTheAgent(t *testing.T) {
	statsd, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer statsd.Close()
	statsite, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer statsite.Close()
	text := anyPort + fmt.Sprintf(`
telemetry {
  collection_interval           = "10ms"
  in_memory_collection_interval = "100ms"
  in_memory_retention_period    = "10s"
  disable_hostname              = true
  prometheus_metrics            = true
  statsd_address                = %q
  statsite_address              = %q
}
`, statsd.LocalAddr(), statsite.Addr())
	for range 2 { // the second finds the process as the first left it
		p := launch(t, Options{Config: parse(t, config.DevConfig(), text)})
		addr := p.httpAddr(t)
		deadline := time.Now().Add(20 * time.Second)
		buf := make([]byte, 1<<16)
		seen := func(what string, read func() (int, error)) {
			t.Helper()
			for {
				n, err := read()
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				if strings.Contains(string(buf[:n]), "rollcall.runtime.num_goroutines") {
					return
				}
			}
		}
		if err := statsd.SetReadDeadline(deadline); err != nil {
			t.Fatal(err)
		}
		seen("statsd", func() (int, error) { n, _, err := statsd.ReadFrom(buf); return n, err })
		conn, err := statsite.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(deadline); err != nil {
			t.Fatal(err)
		}
		seen("statsite", func() (int, error) { return conn.Read(buf) })
		for _, path := range []string{"/v1/metrics", "/v1/metrics?format=prometheus"} {
			eventually(t, path, func() error {
				var text string
				if err := get(t, addr, path, &text); err != nil {
					return err
				}
				if !strings.Contains(strings.ReplaceAll(text, ".", "_"), "rollcall_runtime_num_goroutines") {
					return errors.New("the gauge is missing")
				}
				return nil
			})
		}
		p.signals <- syscall.SIGTERM
		if err := p.wait(t); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close() // only read from
		metrics.IncrCounter([]string{"after", "the", "end"}, 1)
	}
}

func TestTelemetryStartsAgainInTheSameProcess(t *testing.T) {
	c := parse(t, config.DevConfig(), anyPort)
	c.Telemetry.PrometheusMetrics = true
	for i := range 3 { // one registry each: starting again is no conflict
		tel, err := startTelemetry(c)
		if err != nil {
			t.Fatalf("start %d: %v", i, err)
		}
		tel.stop()
	}
}

func TestAClientAloneForwardsAndStops(t *testing.T) {
	rpc := takenPort(t) // takes connections and never answers
	text := anyPort + fmt.Sprintf("bind_addr = \"127.0.0.1\"\ndata_dir = %q\nclient {\n enabled = true\n servers = [\"127.0.0.1:%d\"]\n}\n", t.TempDir(), rpc)
	p := launch(t, Options{Config: parse(t, config.DefaultConfig(), text)})
	var self struct{ Stats map[string]any }
	if err := get(t, p.httpAddr(t), "/v1/agent/self", &self); err != nil {
		t.Fatal(err)
	}
	if _, ok := self.Stats["raft"]; ok {
		t.Errorf("a client has Raft: %v", self.Stats)
	}
	p.signals <- syscall.SIGTERM
	if err := p.wait(t); err != nil {
		t.Errorf("ended with %v", err)
	}
}
