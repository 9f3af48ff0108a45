package httpapi

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// changingServer is an aclServer that changes while it is asked.
type changingServer struct {
	*aclServer
	mu sync.Mutex // guards aclServer
}

func (s *changingServer) RPC(ctx context.Context, method string, args, reply any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.aclServer.RPC(ctx, method, args, reply)
}

func (s *changingServer) change(f func(*aclServer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.aclServer)
}

// The log of an agent that is no server ends soon after the token of who follows it has; that no server answers ends nothing.
func TestTheLogOfANodeEndsWithItsCallersRights(t *testing.T) {
	const remembered = 30 * time.Second
	for _, tc := range []struct {
		name string
		then func(*aclServer)
		ends bool
	}{
		{"the token is deleted", func(s *aclServer) { delete(s.tokens, "view") }, true},
		{"its policy is deleted", func(s *aclServer) { delete(s.policies, "view") }, true},
		{"no server answers", func(s *aclServer) { s.down = errors.New("no servers") }, false},
		{"nothing happens", func(*aclServer) {}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, p, log := &changingServer{aclServer: newACLServer()}, newPipes(), testLog()
				api, err := New(Config{
					Region: "global", Listeners: []net.Listener{p}, Logs: log, ACL: ACLConfig{Enabled: true, TokenTTL: remembered, PolicyTTL: remembered, RoleTTL: remembered},
				}, s, nil, &fakeClient{})
				if err != nil {
					t.Fatal(err)
				}
				served := make(chan error, 1)
				go func() { served <- api.Serve() }()
				conn := p.dial()
				if _, err := io.WriteString(conn, "GET /v1/agent/monitor?plain HTTP/1.1\r\nHost: x\r\nX-Nomad-Token: view\r\nConnection: close\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				time.AfterFunc(time.Second, func() { s.change(tc.then) })
				const watched = 5 * time.Minute
				time.AfterFunc(watched, func() { _ = conn.Close() })
				start := time.Now()
				text, _ := io.ReadAll(conn)
				took := time.Since(start)
				switch told := strings.Contains(string(text), "The log ends here: Permission denied"); {
				case tc.ends && (!told || took > remembered+2*rightsCheck):
					t.Errorf("after %s it ended with %q", took, text)
				case !tc.ends && (told || took < watched):
					t.Errorf("it ended after %s with %q", took, text)
				}
				_ = conn.Close()
				if err := errors.Join(api.Shutdown(t.Context()), <-served); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
