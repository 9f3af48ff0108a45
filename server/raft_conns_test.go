package server

import (
	"net"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/rpc/transport"
)

// farConn is a connection from an address.
type farConn struct {
	net.Conn
	from string
}

func (c *farConn) RemoteAddr() net.Addr {
	addr, err := net.ResolveTCPAddr("tcp", c.from)
	if err != nil {
		panic(err)
	}
	return addr
}

func (c *farConn) Close() error { return nil }

// Silent Raft connections cost memory that the library never gives back, so one address gets only so many.
func TestRaftConnectionsOfOneAddressAreBounded(t *testing.T) {
	tr := transport.New(transport.Config{HandshakeTimeout: time.Second})
	l := newStreamLayer(tr.RaftLayer(), hclog.NewNullLogger())
	var kept []*farConn
	for range maxRaftConns {
		c := &farConn{from: "192.0.2.1:1000"}
		if !l.keep(c) {
			t.Fatalf("connection %d is refused, want %d to be kept", len(kept)+1, maxRaftConns)
		}
		kept = append(kept, c)
	}
	if l.keep(&farConn{from: "192.0.2.1:2000"}) {
		t.Error("one connection more than allowed is kept")
	}
	if !l.keep(&farConn{from: "192.0.2.2:1000"}) {
		t.Error("another address suffers from the first")
	}
	first := &raftConn{Conn: kept[0], layer: l}
	for range 2 { // the library closes twice now and then
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !l.keep(&farConn{from: "192.0.2.1:3000"}) {
		t.Error("a connection that ended is still counted")
	}
	if l.keep(&farConn{from: "192.0.2.1:4000"}) {
		t.Error("closing one connection twice made room for two")
	}
}
