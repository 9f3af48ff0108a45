package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/internal/eventually"
	"github.com/rollcall-id/rollcall/rpc"
	"github.com/rollcall-id/rollcall/structs"
)

// Stream starts nothing on a fake that only answers calls.
func (f *fakeRPC) Stream(context.Context, string) (net.Conn, error) {
	return nil, errors.New("the fake has no streams")
}

// fakeSnapshots saves body and keeps what it is told to restore, behind the real streaming methods.
type fakeSnapshots struct {
	saved *rpc.SavedSnapshot
	err   error
	began chan struct{} // closed when the first piece of an upload has come; nil: nobody waits

	mu       sync.Mutex
	restored [][]byte // whole uploads
	broken   []error  // how the others ended
}

func (f *fakeSnapshots) Save(context.Context) (*rpc.SavedSnapshot, error) { return f.saved, f.err }

func (f *fakeSnapshots) Restore(_ context.Context, archive io.Reader) error {
	first := make([]byte, 1)
	_, err := io.ReadFull(archive, first)
	if f.began != nil {
		close(f.began)
	}
	rest, restErr := io.ReadAll(archive)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err = errors.Join(err, restErr); err != nil {
		f.broken = append(f.broken, err)
		return err
	}
	if f.err == nil {
		f.restored = append(f.restored, append(first, rest...))
	}
	return f.err
}

func (f *fakeSnapshots) uploads() (restored [][]byte, broken []error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.restored, f.broken
}

// leader always leads.
type leader struct{ rpc.Leader }

func (leader) IsLeader() bool                    { return true }
func (leader) Leading() bool                     { return true }
func (leader) LeaderAddr() string                { return "127.0.0.1:4647" }
func (leader) VerifyLease(context.Context) error { return nil }

// realStreams streams through the real method table and pipeline.
type realStreams struct {
	fakeRPC
	server *rpc.Server
}

func (r *realStreams) Stream(ctx context.Context, method string) (net.Conn, error) {
	return r.server.Stream(ctx, method)
}

// scriptedStreams answers saves with exactly these bytes.
type scriptedStreams struct {
	fakeRPC
	reply *structs.SnapshotSaveResponse
	body  []byte
}

func (f *scriptedStreams) Stream(context.Context, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		_, _ = theirs.Read(make([]byte, 4096)) // the request fits
		b, err := structs.EncodeBytes(f.reply)
		if err != nil {
			panic(err)
		}
		_, _ = theirs.Write(append(b, f.body...)) // the caller may be gone
	}()
	return ours, nil
}

// serveSnapshots puts a real HTTP server before backend.
func serveSnapshots(t *testing.T, backend RPC) *httptest.Server {
	t.Helper()
	api, err := New(Config{Region: "global"}, backend, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(api)
	t.Cleanup(srv.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return srv
}

func realServer(t *testing.T, f *fakeSnapshots) *httptest.Server {
	t.Helper()
	server := rpc.New(rpc.DefaultConfig("global"), rpc.Deps{Logger: hclog.NewNullLogger(), Clock: time.Now, Snapshots: f, Leader: leader{}})
	return serveSnapshots(t, &realStreams{server: server})
}

// archive is the size of a small cluster's.
var archive = bytes.Repeat([]byte("not really gzip "), 20_000)

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha-256=" + base64.StdEncoding.EncodeToString(sum[:])
}

// send makes one request and reads the answer, as far as it comes.
func send(t *testing.T, method, url string, body io.Reader) (res *http.Response, got []byte, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "gzip") // as the SDK does; an archive must not be compressed once more
	if res, err = http.DefaultClient.Do(req); err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	got, err = io.ReadAll(res.Body)
	return res, got, err
}

func TestSnapshotsAreSavedWithTheirDigest(t *testing.T) {
	closed := false
	f := &fakeSnapshots{saved: &rpc.SavedSnapshot{Index: 42, Digest: digestOf(archive), Body: closer{bytes.NewReader(archive), &closed}}}
	srv := realServer(t, f)
	res, got, err := send(t, "GET", srv.URL+"/v1/operator/snapshot?stale", nil)
	if err != nil || res.StatusCode != 200 || !bytes.Equal(got, archive) {
		t.Fatalf("%+v, %d bytes, %v", res, len(got), err)
	}
	for name, want := range map[string]string{
		"Digest": digestOf(archive), "Content-Type": "application/x-gzip", "Content-Encoding": "", "X-Nomad-Index": "42",
		"X-Nomad-LastContact": "0", "X-Nomad-KnownLeader": "true",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	srv.Close() // waits for the handler
	if !closed {
		t.Error("the archive was not closed")
	}
}

type closer struct {
	io.Reader
	closed *bool
}

func (c closer) Close() error { *c.closed = true; return nil }

func TestHeadTellsTheDigestAlone(t *testing.T) {
	f := &fakeSnapshots{saved: &rpc.SavedSnapshot{Digest: digestOf(archive), Body: io.NopCloser(bytes.NewReader(archive))}}
	res, got, err := send(t, "HEAD", realServer(t, f).URL+"/v1/operator/snapshot", nil)
	if err != nil || res.StatusCode != 200 || len(got) != 0 || res.Header.Get("Digest") != digestOf(archive) {
		t.Errorf("%+v, %d bytes, %v", res, len(got), err)
	}
}

func TestAnArchiveThatIsNotWholeBreaksTheConnectionOff(t *testing.T) {
	for _, tc := range []struct {
		name string
		body []byte
	}{
		{"short", archive[:len(archive)-1]},
		{"of the right length but changed", append(bytes.Clone(archive[1:]), 'x')},
		{"longer than announced", append(bytes.Clone(archive), 'x')},
		{"empty", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := serveSnapshots(t, &scriptedStreams{reply: &structs.SnapshotSaveResponse{SnapshotChecksum: digestOf(archive)}, body: tc.body})
			res, got, err := send(t, "GET", srv.URL+"/v1/operator/snapshot", nil)
			if err == nil {
				t.Errorf("a whole answer: %+v, %d bytes", res, len(got))
			}
		})
	}
}

func TestSnapshotRequestsAreRefusedAsOthersAre(t *testing.T) {
	refused := func(err error) *fakeSnapshots { return &fakeSnapshots{err: err} }
	for _, tc := range []struct {
		name, method, query string
		backend             *fakeSnapshots
		code                int
		text                string
	}{
		{"a bad flag", "GET", "?stale=maybe", refused(nil), 400, "Invalid value for stale: want true or false"},
		{"a save that fails", "GET", "", refused(errors.New("disk full")), 500, "save snapshot: disk full"},
		{"a restore that is refused", "PUT", "", refused(structs.Coded(400, "snapshot archive at byte 7: damaged")), 400, "snapshot archive at byte 7: damaged"},
		{"a restore without a right to it", "POST", "", refused(structs.ErrPermissionDenied), 403, "Permission denied"},
		{"another method", "DELETE", "", refused(nil), 405, "Invalid method"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res, got, err := send(t, tc.method, realServer(t, tc.backend).URL+"/v1/operator/snapshot"+tc.query, strings.NewReader("x"))
			if err != nil || res.StatusCode != tc.code || string(got) != tc.text {
				t.Errorf("answered %+v %q, %v, want %d %q", res, got, err, tc.code, tc.text)
			}
			if res.Header.Get("Digest") != "" || res.Header.Get("Content-Type") != textType {
				t.Errorf("headers of an error: %v", res.Header)
			}
		})
	}
}

func TestASnapshotOfAnySizeIsRestored(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 5*maxBody+7)
	for _, method := range []string{"PUT", "POST"} {
		f := new(fakeSnapshots)
		// A reader without a length is sent in chunks.
		for _, r := range []io.Reader{bytes.NewReader(body), iotest.HalfReader(bytes.NewReader(body))} {
			res, got, err := send(t, method, realServer(t, f).URL+"/v1/operator/snapshot", r)
			if err != nil || res.StatusCode != 200 || len(got) != 0 {
				t.Fatalf("answered %+v %q, %v", res, got, err)
			}
		}
		restored, broken := f.uploads()
		if len(restored) != 2 || len(broken) != 0 || !bytes.Equal(restored[0], body) || !bytes.Equal(restored[1], body) {
			t.Errorf("%d uploads arrived, %v broke off", len(restored), broken)
		}
	}
}

func TestAClientThatGoesAwayChangesNothing(t *testing.T) {
	// Frames are sent when they are full, so the server sees the first one of them while the second is on its way.
	piece := strings.Repeat("x", structs.StreamFrameBytes*3/2)
	for _, tc := range []struct{ header, body string }{
		{"Content-Length: 1000000", piece},
		{"Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n", len(piece), piece)},
	} {
		f := &fakeSnapshots{began: make(chan struct{})}
		srv := realServer(t, f)
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "PUT /v1/operator/snapshot HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n%s", tc.header, tc.body)
		<-f.began
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		eventually.True(t, "an upload that broke off", func() error {
			restored, broken := f.uploads()
			if len(restored) > 0 || len(broken) != 1 {
				return fmt.Errorf("%s: %d restored, broken off: %v", tc.header, len(restored), broken)
			}
			return nil
		})
	}
}

func TestAClientThatTakesNoMoreEndsASave(t *testing.T) {
	closed := make(chan struct{})
	body := struct {
		io.Reader
		io.Closer
	}{endless{}, closeFunc(func() { close(closed) })}
	srv := realServer(t, &fakeSnapshots{saved: &rpc.SavedSnapshot{Digest: digestOf(nil), Body: body}})
	req, err := http.NewRequestWithContext(t.Context(), "GET", srv.URL+"/v1/operator/snapshot", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	select {
	case <-closed:
	case <-time.After(eventually.Patience):
		t.Error("the save goes on")
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

type closeFunc func()

func (f closeFunc) Close() error { f(); return nil }

func TestShutdownEndsASaveThatWaits(t *testing.T) {
	started := make(chan struct{})
	server, err := New(Config{Region: "global"}, &hangingStreams{started: started}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer := make(chan *httptest.ResponseRecorder)
	go func() { answer <- do(server, "GET", "/v1/operator/snapshot", "") }()
	<-started
	if err := server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	want(t, <-answer, 503, "agent is shutting down")
}

// hangingStreams never answers.
type hangingStreams struct {
	fakeRPC
	started chan struct{}
}

func (h *hangingStreams) Stream(context.Context, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() {
		_, _ = theirs.Read(make([]byte, 4096))
		close(h.started)
		_, _ = theirs.Read(make([]byte, 1)) // until the caller goes
		theirs.Close()
	}()
	return ours, nil
}

func TestNoServerToStreamFrom(t *testing.T) {
	api := newAPI(t, new(fakeRPC), nil, nil)
	want(t, do(api, "GET", "/v1/operator/snapshot", ""), 500, "the fake has no streams")
	want(t, do(api, "PUT", "/v1/operator/snapshot", "x"), 500, "the fake has no streams")
}
