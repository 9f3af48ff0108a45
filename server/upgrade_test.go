package server

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// fixture returns a file that was written by a Nomad 1.10.5 server; its README is beside it.
func fixture(t *testing.T, name string) []byte {
	t.Helper()
	dir := "../replay/testdata/nomad-1.10.5"
	if name == "early.snap" {
		dir = "../fsm/testdata/nomad-1.10.5"
	}
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// listenAt opens a port that was in use a moment ago.
func listenAt(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }
