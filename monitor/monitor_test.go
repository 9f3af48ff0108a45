package monitor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/internal/leak"
	"github.com/rollcall-id/rollcall/structs"
)

func TestMain(m *testing.M) { leak.Main(m) }

func quietLog() hclog.InterceptLogger {
	return hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "rollcall", Level: hclog.Error, Output: io.Discard})
}

// follow follows log in a goroutine, and returns the payloads that came and a way to end it.
func follow(t *testing.T, log hclog.InterceptLogger, req *structs.MonitorRequest) (payloads chan string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	payloads = make(chan string)
	ended := make(chan error, 1)
	go func() {
		ended <- Follow(ctx, log, req, func(f *structs.StreamFrame) error {
			select {
			case payloads <- string(f.Payload):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	return payloads, func() error { cancel(); return <-ended }
}

// readUntil returns what comes until some of it contains text.
func readUntil(t *testing.T, payloads <-chan string, text string) (all string) {
	t.Helper()
	for limit := time.Now().Add(time.Hour); !strings.Contains(all, text); {
		if time.Now().After(limit) {
			t.Fatalf("%q did not come, only %q", text, all)
		}
		all += <-payloads
	}
	return all
}

var timestamp = regexp.MustCompile(`(?m)^\S+ `)

func TestALevelOfItsOwn(t *testing.T) {
	for _, tc := range []struct {
		level string
		want  string
	}{
		{"", "[INFO]  rollcall.server: info: n=1\n[WARN]  rollcall.server: warn\n"},
		{"DEBUG", "[DEBUG] rollcall.server: debug\n[INFO]  rollcall.server: info: n=1\n[WARN]  rollcall.server: warn\n"},
		{"warn", "[WARN]  rollcall.server: warn\n"},
	} {
		t.Run("level "+tc.level, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := quietLog()
				got, stop := follow(t, log, &structs.MonitorRequest{LogLevel: tc.level, PlainText: true})
				if first := <-got; first != "" {
					t.Errorf("the first frame holds %q", first)
				}
				synctest.Wait()
				part := log.Named("server")
				part.Debug("debug")
				part.Info("info", "n", 1)
				part.Warn("warn")
				all := readUntil(t, got, "warn")
				if diff := cmp.Diff(tc.want, timestamp.ReplaceAllString(all, "")); diff != "" {
					t.Errorf("log (-want +got):\n%s", diff)
				}
				_ = stop() // it may have been about to send
				if n := followers.Load(); n != 0 {
					t.Errorf("%d followers are left", n)
				}
			})
		})
	}
}

func TestFramesAreJSONWithBase64(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := quietLog()
		got, stop := follow(t, log, &structs.MonitorRequest{LogJSON: true, LogIncludeLocation: true})
		if first := <-got; first != "{}\n" {
			t.Errorf("the first frame is %q", first)
		}
		synctest.Wait()
		log.Info("hello")
		var frame structs.LogFrame
		if err := json.Unmarshal([]byte(<-got), &frame); err != nil {
			t.Fatal(err)
		}
		var line map[string]any
		if err := json.Unmarshal(frame.Data, &line); err != nil || line["@message"] != "hello" || !strings.Contains(fmt.Sprint(line["@caller"]), "monitor_test.go") {
			t.Errorf("line %s, %v", frame.Data, err)
		}
		begin := time.Now()
		if beat := <-got; beat != "{}\n" || time.Since(begin) > heartbeat {
			t.Errorf("after %s came %q, want a heartbeat", time.Since(begin), beat)
		}
		_ = stop() // it may have been about to send
	})
}

// The log does not wait for a follower that takes nothing, and the follower hears how much it has missed.
func TestDroppedLinesAreCountedAndTold(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		t.Run(fmt.Sprintf("JSON %t", asJSON), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := quietLog()
				got, stop := follow(t, log, &structs.MonitorRequest{PlainText: true, LogJSON: asJSON})
				<-got
				synctest.Wait()
				log.Info("the line that the follower does not take")
				synctest.Wait()
				for range room + 100 {
					log.Info("line")
				}
				all := readUntil(t, got, "dropped")
				if n := regexp.MustCompile(`dropped"?[:=](\d+)`).FindStringSubmatch(all); n == nil || n[1] != "100" {
					t.Errorf("the follower hears of %v dropped lines, want 100", n)
				}
				_ = stop() // it may have been about to send
			})
		})
	}
}

func TestALineThatIsTooLongIsCut(t *testing.T) {
	tp := &tap{lines: make(chan []byte, 1)}
	long := bytes.Repeat([]byte("x"), maxLine+1)
	if n, err := tp.Write(long); n != len(long) || err != nil {
		t.Errorf("wrote %d, %v", n, err)
	}
	if got := <-tp.lines; len(got) > maxLine+20 || !bytes.HasSuffix(got, []byte("... (cut off)\n")) {
		t.Errorf("%d bytes, ending in %q", len(got), got[len(got)-20:])
	}
}

func TestFollowingIsRefused(t *testing.T) {
	none := func(*structs.StreamFrame) error { return errors.New("sent") }
	for _, tc := range []struct {
		name string
		log  hclog.InterceptLogger
		req  *structs.MonitorRequest
		set  func()
		code int
	}{
		{"an unknown level", quietLog(), &structs.MonitorRequest{LogLevel: "loud"}, nil, 400},
		{"a node and a server", quietLog(), &structs.MonitorRequest{NodeID: "a", ServerID: "b"}, nil, 400},
		{"no log", nil, &structs.MonitorRequest{}, nil, 501},
		{"too many", quietLog(), &structs.MonitorRequest{}, func() { followers.Store(Max) }, 429},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.set != nil {
				tc.set()
				defer followers.Store(0)
			}
			err := Follow(t.Context(), tc.log, tc.req, none)
			var coded *structs.CodedError
			if !errors.As(err, &coded) || coded.Code != tc.code {
				t.Errorf("got %v, want code %d", err, tc.code)
			}
		})
	}
	if err := Follow(t.Context(), quietLog(), &structs.MonitorRequest{}, none); err == nil || err.Error() != "sent" {
		t.Errorf("a follower that has gone: %v", err)
	}
}
