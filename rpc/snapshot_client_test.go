package rpc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

// peer plays a server on the far end of a pipe, and waits at the end of the test until it is done.
func peer(t *testing.T, serve func(conn net.Conn, in *transport.Reader)) net.Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer theirs.Close()
		serve(theirs, transport.NewReader(theirs, 0))
	}()
	t.Cleanup(func() { ours.Close(); <-done })
	return ours
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha-256=" + base64.StdEncoding.EncodeToString(sum[:])
}

// savingPeer answers a save with reply and body.
func savingPeer(t *testing.T, reply *structs.SnapshotSaveResponse, body []byte) net.Conn {
	return peer(t, func(conn net.Conn, in *transport.Reader) {
		var req structs.SnapshotSaveRequest
		if err := readValue(in, &req); err != nil || req.Region != "global" || !req.AllowStale {
			t.Errorf("request %+v, error %v", req, err)
		}
		_ = writeValue(conn, reply) // the client may be gone
		_, _ = conn.Write(body)
	})
}

func saveRequest() *structs.SnapshotSaveRequest {
	return &structs.SnapshotSaveRequest{QueryOptions: structs.QueryOptions{Region: "global", AllowStale: true}}
}

func TestSaveSnapshotHandsOutOnlyWhatWasAnnounced(t *testing.T) {
	body := bytes.Repeat([]byte("archive"), 50_000)
	for _, tc := range []struct {
		name     string
		checksum string
		sent     []byte
		text     string // of the error; empty for none
	}{
		{"a whole archive", digestOf(body), body, ""},
		{"an archive cut short", digestOf(body), body[:len(body)-1], "349999 bytes came"},
		{"an archive with more behind it", digestOf(body), append(bytes.Clone(body), 0), "350001 bytes came"},
		{"no archive at all", digestOf(body), nil, "0 bytes came"},
		{"no digest", "", body, `"" is no digest`},
		{"a digest of another kind", "md5=" + base64.StdEncoding.EncodeToString(make([]byte, 16)), body, "is no digest"},
		{"a digest that is too short", "sha-256=AAAA", body, "is no digest"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			reply := &structs.SnapshotSaveResponse{SnapshotChecksum: tc.checksum, QueryMeta: structs.QueryMeta{Index: 7}}
			got, archive, err := SaveSnapshot(t.Context(), savingPeer(t, reply, tc.sent), saveRequest())
			var b []byte
			if err == nil {
				if got.Index != 7 {
					t.Errorf("index %d", got.Index)
				}
				b, err = io.ReadAll(archive)
				if err := archive.Close(); err != nil {
					t.Error(err)
				}
			}
			if tc.text == "" {
				if err != nil || !bytes.Equal(b, body) {
					t.Errorf("read %d bytes, error %v", len(b), err)
				}
				return
			}
			if !errors.Is(err, ErrSnapshotDigest) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("got %v, want an ErrSnapshotDigest with %q", err, tc.text)
			}
		})
	}
}

func TestSaveSnapshotPassesRefusalsOn(t *testing.T) {
	for _, tc := range []struct {
		code    int
		message string
		want    int
		is      error
	}{
		{500, "Permission denied", 403, structs.ErrPermissionDenied},
		{400, "ACL support disabled", 400, nil},
		{500, "No cluster leader", 500, structs.ErrNoLeader},
		{0, "something", 500, nil},
		{200, "a success that is an error", 500, nil},
	} {
		_, _, err := SaveSnapshot(t.Context(), savingPeer(t, &structs.SnapshotSaveResponse{ErrorCode: tc.code, ErrorMsg: tc.message}, nil), saveRequest())
		if err == nil {
			t.Fatalf("%+v: no error", tc)
		}
		if code, text := structs.HTTPStatus(err); code != tc.want || text != tc.message || tc.is != nil && !errors.Is(err, tc.is) {
			t.Errorf("%+v became %d %q (%v)", tc, code, text, err)
		}
	}
}

func TestSaveSnapshotEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	answered := make(chan struct{})
	conn := peer(t, func(conn net.Conn, in *transport.Reader) {
		_ = readValue(in, &structs.SnapshotSaveRequest{})
		_ = writeValue(conn, &structs.SnapshotSaveResponse{SnapshotChecksum: digestOf(nil)})
		close(answered)
		_, _ = conn.Read(make([]byte, 1)) // until the client goes
	})
	_, archive, err := SaveSnapshot(ctx, conn, saveRequest())
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	<-answered
	why := errors.New("shutting down")
	cancel(why)
	if _, err := io.ReadAll(archive); !errors.Is(err, why) {
		t.Errorf("got %v, want %v", err, why)
	}
}

// restoringPeer reads an upload as a server does and answers it. What arrived is sent to got.
func restoringPeer(t *testing.T, reply *structs.SnapshotRestoreResponse, got chan<- upload) net.Conn {
	return peer(t, func(conn net.Conn, in *transport.Reader) {
		if err := readValue(in, &structs.SnapshotRestoreRequest{}); err != nil {
			t.Error(err)
		}
		b, err := io.ReadAll(&frames{conn: conn, in: in})
		got <- upload{b, err}
		_ = writeValue(conn, reply) // the client may be gone
	})
}

type upload struct {
	body []byte
	err  error
}

func TestRestoreSnapshotSendsTheArchiveInFrames(t *testing.T) {
	for _, size := range []int{0, 1, structs.StreamFrameBytes, 3*structs.StreamFrameBytes + 1} {
		body := bytes.Repeat([]byte{7}, size)
		got := make(chan upload, 1)
		reply := &structs.SnapshotRestoreResponse{QueryMeta: structs.QueryMeta{Index: 9}}
		res, err := RestoreSnapshot(t.Context(), restoringPeer(t, reply, got), &structs.SnapshotRestoreRequest{}, iotest.OneByteReader(bytes.NewReader(body)))
		if err != nil || res.Index != 9 {
			t.Errorf("%d bytes: %+v, %v", size, res, err)
		}
		if u := <-got; u.err != nil || !bytes.Equal(u.body, body) {
			t.Errorf("%d bytes: %d arrived, error %v", size, len(u.body), u.err)
		}
	}
}

func TestAnUploadThatBreaksOffIsNoWholeArchive(t *testing.T) {
	for _, broken := range []error{errors.New("disk gone"), io.ErrUnexpectedEOF} {
		got := make(chan upload, 1)
		archive := io.MultiReader(bytes.NewReader(make([]byte, 100_000)), iotest.ErrReader(broken))
		_, err := RestoreSnapshot(t.Context(), restoringPeer(t, &structs.SnapshotRestoreResponse{}, got), &structs.SnapshotRestoreRequest{}, archive)
		if !errors.Is(err, broken) {
			t.Errorf("got %v, want %v", err, broken)
		}
		if u := <-got; u.err == nil || !strings.Contains(u.err.Error(), "the sender gave up") {
			t.Errorf("the server saw %v", u.err)
		}
	}
}

func TestARefusalEndsAnUploadEarly(t *testing.T) {
	conn := peer(t, func(conn net.Conn, in *transport.Reader) {
		_ = readValue(in, &structs.SnapshotRestoreRequest{})
		_ = writeValue(conn, &structs.SnapshotRestoreResponse{ErrorCode: 500, ErrorMsg: "Permission denied"})
	})
	_, err := RestoreSnapshot(t.Context(), conn, &structs.SnapshotRestoreRequest{}, &endless{})
	if code, _ := structs.HTTPStatus(err); code != 403 || !errors.Is(err, structs.ErrPermissionDenied) {
		t.Errorf("got %v", err)
	}
}

func TestAnUploadStopsWhenItIsRefused(t *testing.T) {
	conn := peer(t, func(conn net.Conn, in *transport.Reader) {
		_ = readValue(in, &structs.SnapshotRestoreRequest{})
		_ = writeValue(conn, &structs.SnapshotRestoreResponse{ErrorCode: 400, ErrorMsg: "no archive"})
		_, _ = io.Copy(io.Discard, conn) // ends with the client's closing
	})
	_, err := RestoreSnapshot(t.Context(), conn, &structs.SnapshotRestoreRequest{}, &endless{})
	if code, text := structs.HTTPStatus(err); code != 400 || text != "no archive" {
		t.Errorf("got %v", err)
	}
}

type endless struct{}

func (*endless) Read(p []byte) (int, error) { return len(p), nil }

func TestAnUploadToAServerThatGoesAwayFails(t *testing.T) {
	conn := peer(t, func(conn net.Conn, in *transport.Reader) { _ = readValue(in, &structs.SnapshotRestoreRequest{}) })
	if _, err := RestoreSnapshot(t.Context(), conn, &structs.SnapshotRestoreRequest{}, &endless{}); err == nil || !strings.Contains(err.Error(), "send archive") {
		t.Errorf("got %v", err)
	}
}

func TestAnUploadMayTakeHoursButNotOneFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer ours.Close()
		got := make(chan upload, 1)
		go func() {
			b, err := io.ReadAll(&frames{conn: theirs, in: transport.NewReader(theirs, 0)})
			got <- upload{b, err}
		}()
		for range 200 {
			time.Sleep(frameTimeout - time.Second)
			if err := writeValue(ours, &structs.StreamFrame{Payload: []byte("x")}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(frameTimeout + time.Second)
		if u := <-got; len(u.body) != 200 || u.err == nil || !strings.Contains(u.err.Error(), "timeout") {
			t.Errorf("%d bytes arrived, error %v", len(u.body), u.err)
		}
	})
}
