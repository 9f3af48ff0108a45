package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

const (
	fsyncs     = 1000
	fsyncBytes = 4096
	signatures = 5000
	echoCalls  = 60_000
)

// measureFsync appends to a file in dir and waits for the disk each time.
func measureFsync(dir string) (perSecond float64, err error) {
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	buf := make([]byte, fsyncBytes)
	began := time.Now()
	for range fsyncs {
		if _, err := f.Write(buf); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
	}
	return fsyncs / time.Since(began).Seconds(), nil
}

// measureSignatures makes bare ES256 signatures on one core.
func measureSignatures() (float64, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return 0, err
	}
	digest := sha256.Sum256([]byte("bench"))
	began := time.Now()
	for range signatures {
		if _, err := ecdsa.SignASN1(rand.Reader, key, digest[:]); err != nil {
			return 0, err
		}
	}
	return signatures / time.Since(began).Seconds(), nil
}

// echo answers every heartbeat with a heartbeat's reply and every registration with a registration's.
type echo struct{ reply structs.NodeUpdateResponse }

func (e echo) ServeRPC(_ context.Context, _ *transport.Conn, method string, body []byte) (any, error) {
	switch method {
	case "Node.Register":
		var req structs.NodeRegisterRequest
		if err := structs.Decode(body, &req); err != nil {
			return nil, err
		}
	default:
		var req structs.NodeUpdateStatusRequest
		if err := structs.Decode(body, &req); err != nil {
			return nil, err
		}
	}
	reply := e.reply
	return &reply, nil
}

func (echo) ServeStream(context.Context, *transport.Conn, net.Conn, string) error {
	return errors.New("echo offers no streams")
}

// serveEcho is the other process of measureEcho: it prints its address and serves until its input ends.
func serveEcho() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := transport.New(transport.Config{MaxConnsPerIP: -1, Handler: echo{structs.NodeUpdateResponse{
		HeartbeatTTL: 15 * time.Second, LeaderRPCAddr: ln.Addr().String(), NumNodes: 1, SchedulingEligibility: structs.NodeEligible,
		Servers: []*structs.NodeServerInfo{{RPCAdvertiseAddr: ln.Addr().String()}, {RPCAdvertiseAddr: ln.Addr().String()}, {RPCAdvertiseAddr: ln.Addr().String()}},
	}}})
	fmt.Println(ln.Addr())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	_, _ = io.Copy(io.Discard, os.Stdin) // its end is the message
	return errors.Join(srv.Close(), <-served)
}

// measureEcho calls a process that only decodes and answers: the ceiling of the RPC port for the two payloads.
func measureEcho(ctx context.Context, callers int) (heartbeats, registrations result, err error) {
	self, err := os.Executable()
	if err != nil {
		return heartbeats, registrations, err
	}
	cmd := exec.CommandContext(ctx, self, "-serve-echo")
	in, err := cmd.StdinPipe()
	if err != nil {
		return heartbeats, registrations, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return heartbeats, registrations, err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return heartbeats, registrations, fmt.Errorf("start echo process: %w", err)
	}
	defer func() { err = errors.Join(err, in.Close(), cmd.Wait()) }()
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		return heartbeats, registrations, errors.New("echo process printed no address")
	}
	addr := lines.Text()

	pools := newPools(1)
	defer closePools(pools)
	f, err := newFleet("global", 1000)
	if err != nil {
		return heartbeats, registrations, err
	}
	for i := range f.tokens {
		f.tokens[i] = exampleToken
	}
	heartbeats = drive(ctx, "echo of a heartbeat", []string{addr}, pools, callers, len(f.nodes), echoCalls,
		func(ctx context.Context, call caller, i int) error { return f.heartbeat(ctx, call, i, false) })
	registrations = drive(ctx, "echo of a registration", []string{addr}, pools, callers, len(f.nodes), echoCalls/4,
		func(ctx context.Context, call caller, i int) error {
			req := &structs.NodeRegisterRequest{Node: f.nodes[i], WriteRequest: f.write(i)}
			return call(ctx, "Node.Register", req, new(structs.NodeUpdateResponse))
		})
	return heartbeats, registrations, nil
}

// exampleToken has the length of a real identity.
var exampleToken = string(make([]byte, 560))
