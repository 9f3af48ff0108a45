package httpapi

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-metrics"

	"github.com/rollcall-id/rollcall/internal/eventually"
	"github.com/rollcall-id/rollcall/structs"
)

// counting gives this process's counters until the test ends.
func counting(t *testing.T) (count func(name string) int) {
	t.Helper()
	install := func(sink metrics.MetricSink) {
		conf := metrics.DefaultConfig("rollcall")
		conf.EnableRuntimeMetrics, conf.EnableHostname = false, false
		if _, err := metrics.NewGlobal(conf, sink); err != nil {
			t.Fatal(err)
		}
	}
	sink := metrics.NewInmemSink(time.Hour, time.Hour)
	install(sink)
	t.Cleanup(func() { install(&metrics.BlackholeSink{}) })
	return func(name string) int {
		total := 0
		for _, interval := range sink.Data() {
			interval.RLock()
			if c := interval.Counters["rollcall.limits."+name]; c.AggregateSample != nil {
				total += c.Count
			}
			interval.RUnlock()
		}
		return total
	}
}

// border is a limit, and what is on both sides of it.
type border struct {
	name           string
	change         func(*Config)
	held           []string // sent on connections that stay open
	within, beyond string
	answer         string // beyond
	counter        string
}

// Up to its border each limit lets a request through; beyond it the request is refused and counted.
func TestEachLimitAtItsBorder(t *testing.T) {
	const short = 100 * time.Millisecond
	put := func(length int, body string) string {
		return fmt.Sprintf("PUT /v1/node/pools HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", length, body)
	}
	body := func(length int) string { return put(length, strings.Repeat(" ", length)) }
	chunked := func(length int) string {
		return fmt.Sprintf("PUT /v1/node/pools HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", length, strings.Repeat(" ", length))
	}
	const get = "GET /v1/regions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	for _, tc := range []border{
		{"connections of an address", func(c *Config) { c.MaxConnsPerClient = 2 }, []string{"GET"}, get, "", "HTTP/1.1 429 ", "http_conns_refused"},
		{"requests of an address", func(c *Config) { c.MaxRequestsPerClient = 2 }, []string{put(10, "")}, get, "", "HTTP/1.1 429 ", "http_requests_refused"},
		{"bytes of an address", func(c *Config) { c.MaxBytesPerClient = 400 }, nil, body(100), body(101), "HTTP/1.1 429 ", "http_bytes_refused"},
		{"a body of a known length", func(c *Config) { c.MaxBodyBytes = 100 }, nil, body(100), put(101, ""), "HTTP/1.1 413 ", "http_bodies_refused"},
		{"a body of an unknown length", func(c *Config) { c.MaxBodyBytes = 100 }, nil, chunked(100), chunked(101), "HTTP/1.1 413 ", "http_bodies_refused"},
		{"the time of a body", func(c *Config) { c.BodyTimeout = short }, nil, body(10), put(10, "{"), "HTTP/1.1 408 ", "http_timeouts"},
		{"the time of a header", func(c *Config) { c.HeaderTimeout = short }, nil, get, get[:20], "", "http_timeouts"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			checkBorder(t, tc, nil)
		})
		t.Run(tc.name+", over TLS", func(t *testing.T) {
			if tc.counter == "http_conns_refused" {
				tc.answer = "" // the handshake fails
			}
			checkBorder(t, tc, selfSigned(t))
		})
	}
}

func checkBorder(t *testing.T, tc border, conf *tls.Config) {
	t.Helper()
	count := counting(t)
	_, url := start(t, &fakeRPC{}, tc.change, func(c *Config) { c.TLS = conf })
	peer := limitedPeer{strings.TrimPrefix(url, "http://"), conf != nil}
	for _, text := range tc.held {
		peer.hold(t, text)
	}
	if got := peer.ask(t, tc.within); !strings.HasPrefix(got, "HTTP/1.1 ") || strings.HasPrefix(got, "HTTP/1.1 4") && !strings.HasPrefix(got, "HTTP/1.1 400 ") {
		t.Errorf("within the limit: %q", got)
	}
	if n := count(tc.counter); n != 0 {
		t.Errorf("counted %d within the limit", n)
	}
	eventually.True(t, "be refused", func() error {
		for _, text := range tc.held { // with more that stay, what was let through is too much
			peer.hold(t, text)
		}
		got, n := peer.ask(t, cmp.Or(tc.beyond, tc.within)), count(tc.counter)
		if !strings.HasPrefix(got, tc.answer) || n == 0 {
			return fmt.Errorf("answered %q, counted %d", got, n)
		}
		return nil
	})
}

// limitedPeer is a client whose address has its limits.
type limitedPeer struct {
	addr   string
	secure bool
}

// hold opens a connection that stays open until the test ends.
func (p limitedPeer) hold(t *testing.T, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if p.secure {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	if _, err := io.WriteString(conn, text); err != nil && !p.secure { // a refusal ends a handshake
		t.Fatal(err)
	}
	return conn
}

// ask returns the first line of an answer; empty if there is none.
func (p limitedPeer) ask(t *testing.T, text string) string {
	t.Helper()
	conn := p.hold(t, text)
	defer conn.Close()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return ""
	}
	res.Body.Close()
	return fmt.Sprintf("HTTP/1.1 %s", res.Status)
}

// FuzzDecodeJSON: what the budget of a body lets through is nested and long as it says, whatever is in its texts.
func FuzzDecodeJSON(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":[1,"\"[[[",{}]}`, strings.Repeat(`{"a":`, 200), "{" + strings.Repeat(`"a":1,`, 40000) + `"b":1}`, `{"a":"\`, "[]", "\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var out any
		if err := decodeJSON(b, &out); err != nil {
			return
		}
		depth, values := 0, 0
		for in := json.NewDecoder(bytes.NewReader(b)); ; values++ {
			token, err := in.Token()
			if err != nil {
				break
			}
			switch token {
			case json.Delim('{'), json.Delim('['):
				if depth++; depth > structs.DefaultMaxDepth {
					t.Fatalf("%d levels are let through", depth)
				}
			case json.Delim('}'), json.Delim(']'):
				depth--
			}
		}
		// Besides what a comma or a colon parts, a container has its two ends, and may be alone in one.
		if most := 4 * (maxValues + structs.DefaultMaxDepth); values > most {
			t.Errorf("%d values are let through, want %d at most", values, most)
		}
	})
}
