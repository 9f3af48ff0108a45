//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// hostileConn is one connection of an attack: what it sends at once, and what a byte a second after it.
type hostileConn struct {
	from  byte // 127.0.0.from is its address
	many  int  // are kept open to each server
	port  int  // 0: HTTP, 1: RPC, 2: gossip
	tls   bool
	first []byte
	slow  []byte
}

// hostileConns are the kinds of connections of an attack.
func hostileConns() map[string]hostileConn {
	header := append([]byte{0x01, 0x82, 0xa3}, "Seq\x01\xadServiceMethod\xadNode.Register"...)
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	hello := []byte{0x04, 0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03}
	long := bytes.Repeat([]byte{0}, 100)
	post := "PUT /v1/node/pools HTTP/1.1\r\nHost: x\r\nContent-Length: "
	return map[string]hostileConn{
		// The first address has more connections than it may have.
		"half-open":               {from: 2, many: 80, port: 1},
		"a slow TLS handshake":    {from: 2, many: 80, port: 1, first: hello[:3], slow: append(hello[3:], long...)},
		"a stalled TLS handshake": {from: 2, many: 80, port: 1, first: hello},
		"HTTP half-open":          {from: 2, many: 90, port: 0},
		"a slow HTTP header":      {from: 2, many: 90, port: 0, first: []byte("GET /v1/nodes HTTP/1.1\r\nHost: x\r\nX: "), slow: long},
		// The second is let in with all it has.
		"a slow request":                    {from: 3, many: 4, port: 1, tls: true, first: header[:6], slow: header[6:]},
		"a request that claims 4 GiB":       {from: 3, many: 1, port: 1, tls: true, first: join(header, []byte{0xdb, 0xff, 0xff, 0xff, 0xff})},
		"a list that claims 4 G values":     {from: 3, many: 1, port: 1, tls: true, first: join(header, []byte{0xdd, 0xff, 0xff, 0xff, 0xff}), slow: long},
		"deep lists":                        {from: 3, many: 1, port: 1, tls: true, first: join(header, bytes.Repeat([]byte{0x91}, 100<<10))},
		"deep maps":                         {from: 3, many: 1, port: 1, tls: true, first: join(header, bytes.Repeat([]byte{0x81}, 100<<10))},
		"half of a large request":           {from: 3, many: 2, port: 1, tls: true, first: join(header, []byte{0xdb, 0x00, 0x0f, 0xff, 0x00}, make([]byte, 700<<10))},
		"a session frame that claims 4 GiB": {from: 3, many: 1, port: 1, tls: true, first: []byte{0x06, 0, 0, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff}, slow: long},
		"garbage at the RPC port":           {from: 3, many: 2, port: 1, first: bytes.Repeat([]byte{0xc1, 0xff, 0x00, 0x7f, 0xdb}, 2000)},
		"a slow HTTP body":                  {from: 3, many: 10, port: 0, first: []byte(post + "1000\r\n\r\n{"), slow: long},
		"an HTTP body that claims 4 GiB":    {from: 3, many: 1, port: 0, first: []byte(post + "4294967296\r\n\r\n{"), slow: long},
		"deep JSON":                         {from: 3, many: 1, port: 0, first: []byte(post + "500000\r\n\r\n{\"Meta\":" + strings.Repeat("[", 500000-8))},
		"garbage at the HTTP port":          {from: 3, many: 2, port: 0, first: bytes.Repeat([]byte{0xc1, 0xff, 0x00, 0x7f}, 2000)},
		"gossip that claims much":           {from: 3, many: 2, port: 2, first: []byte{0x06, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, slow: long},
		"garbage at the gossip port":        {from: 3, many: 2, port: 2, first: bytes.Repeat([]byte{0xc1, 0xff, 0x00, 0x7f, 0xdb}, 200)},
	}
}

// hostileBetween is the mean pause between one connection's end and the next one's begin.
const hostileBetween = time.Second

// attackVariable holds the plan of a process that attacks, in JSON. The test's own program is that process, started anew: an
// attacker is elsewhere, and must not take the time of those who measure.
const attackVariable = "ROLLCALL_E2E_ATTACK"

// attackPlan says whom to attack, with the certificate of a node.
type attackPlan struct {
	Servers   [][3]string // addresses: HTTP, RPC, gossip
	Cert, Key string
}

// attack starts a process that sends all kinds of connections to all servers, from other addresses than everybody else's. It
// ends when it is killed, and gets what time the others leave.
func attack(t *testing.T, c *Cluster) *Process {
	t.Helper()
	var plan attackPlan
	plan.Cert, plan.Key = c.Certificates.Pair("client")
	for _, s := range c.Servers {
		plan.Servers = append(plan.Servers, [3]string{loopback(s.ports[0]), loopback(s.ports[1]), loopback(s.ports[2])})
	}
	text, err := json.Marshal(plan)
	must(t, err)
	p, err := c.Group.Start(Command{Name: "attack", Path: "nice", Args: []string{"-n", "19", os.Args[0]}, Env: []string{attackVariable + "=" + string(text)}})
	must(t, err)
	return p
}

// carryOut attacks for ever; an error says that the plan is no good.
func carryOut(text string) error {
	var plan attackPlan
	if err := json.Unmarshal([]byte(text), &plan); err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(plan.Cert, plan.Key)
	if err != nil {
		return err
	}
	conf := &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12} //nolint:gosec // an attacker
	var work sync.WaitGroup
	for _, addrs := range plan.Servers {
		for _, kind := range hostileConns() {
			for range kind.many {
				work.Go(func() {
					for {
						wait(context.Background(), rand.N(2*hostileBetween))
						kind.run(addrs[kind.port], conf)
					}
				})
			}
		}
	}
	work.Wait()
	return nil
}

// wait waits, unless ctx ends.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// run is one connection, until the server has had enough of it.
func (h hostileConn) run(addr string, conf *tls.Config) {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, h.from)}, Timeout: 2 * time.Second}
	conn, err := dialer.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer conn.Close()
	if h.tls {
		if _, err := conn.Write([]byte{0x04}); err != nil {
			return
		}
		conn = tls.Client(conn, conf)
	}
	if _, err := conn.Write(h.first); err != nil {
		return
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_, _ = io.Copy(io.Discard, conn) // until the server closes
	}()
	for _, b := range h.slow {
		select {
		case <-closed:
			return
		case <-time.After(time.Second):
		}
		if _, err := conn.Write([]byte{b}); err != nil {
			break
		}
	}
	<-closed
}
