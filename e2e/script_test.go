//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/e2e/wire"
)

// step is one exchange of a script. A string "$name" in what is sent or wanted stands for the variable.
type step struct {
	say    string // what happens, as a sentence
	method string // RPC to make
	args   wire.Map
	put    string // or path of the HTTP API to PUT to
	want   wire.Map
	err    string            // that the answer's error must contain
	held   time.Duration     // how long the answer must be held at least
	wait   time.Duration     // how long the server is asked to hold it
	asked  string            // method that the server must have called on the node meanwhile
	keep   map[string]string // variables to set from keys of the reply
	after  func(t *testing.T, reply any)
}

// check is a condition on a value, where a script wants no single one.
type check func(v any) error

// some wants anything but nothing.
var some check = func(v any) error {
	if v == nil || reflect.ValueOf(v).IsZero() || reflect.ValueOf(v).Kind() == reflect.Slice && reflect.ValueOf(v).Len() == 0 {
		return fmt.Errorf("is %#v, want something", v)
	}
	return nil
}

// zero wants a number that is 0.
var zero check = func(v any) error {
	if f := fmt.Sprint(v); f != "0" {
		return fmt.Errorf("is %s, want 0", f)
	}
	return nil
}

// actor plays scripts: a node as one client agent would be it, on sockets of its own.
type actor struct {
	t    *testing.T
	http string // of the server whose HTTP API is asked
	vars map[string]any

	session *wire.Session
	stream  *wire.Stream

	mu    sync.Mutex // guards calls
	calls []string   // that the server made on the node
}

// connect opens the session that the node keeps, in place of the one before.
func (a *actor) connect(ctx context.Context, addr string) error {
	a.close()
	session, err := wire.Dial(ctx, addr, a.answer)
	if err != nil {
		return err
	}
	stream, err := session.Stream()
	if err != nil {
		return errors.Join(err, session.Close())
	}
	a.session, a.stream = session, stream
	return nil
}

func (a *actor) close() {
	if a.session != nil {
		a.stream.Close()
		a.session.Close()
		a.session = nil
	}
}

// answer is what a client agent says when a server calls it.
func (a *actor) answer(method string, args wire.Map) (any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, method)
	if args["NodeID"] != a.vars["node"] {
		return nil, fmt.Errorf("Unknown node %q", args["NodeID"])
	}
	switch method {
	case "NodeIdentity.Get":
		return wire.Map{"Claims": wire.Map{"nomad_node_id": a.vars["node"], "exp": 1.8e9}}, nil
	case "NodeIdentity.Renew":
		return wire.Map{}, nil
	}
	return nil, errors.New("rpc: can't find method " + method)
}

// play runs a script and fails the test at the first exchange that is not as it says.
func (a *actor) play(ctx context.Context, script []step) {
	a.t.Helper()
	for i, s := range script {
		if err := a.do(ctx, s); err != nil {
			a.t.Fatalf("step %d, %s: %v", i+1, s.say, err)
		}
	}
}

func (a *actor) do(ctx context.Context, s step) error {
	a.mu.Lock()
	a.calls = nil
	a.mu.Unlock()
	start := time.Now()
	reply, err := a.exchange(ctx, s)
	took := time.Since(start)
	switch {
	case s.err != "" && (err == nil || !strings.Contains(err.Error(), s.err)):
		return fmt.Errorf("the error is %v, want %q in it", err, s.err)
	case s.err == "" && err != nil:
		return err
	case took < s.held:
		return fmt.Errorf("answered after %s, want it held for %s", took, s.held)
	}
	a.mu.Lock()
	calls := strings.Join(a.calls, " ")
	a.mu.Unlock()
	if calls != s.asked {
		return fmt.Errorf("the server called %q, want %q", calls, s.asked)
	}
	if err := a.compare("the reply", s.want, reply); err != nil && s.want != nil {
		return err
	}
	for name, key := range s.keep {
		a.vars[name] = reply.(wire.Map)[key]
	}
	if s.after != nil {
		s.after(a.t, reply)
	}
	return nil
}

func (a *actor) exchange(ctx context.Context, s step) (any, error) {
	if s.put == "" {
		return a.stream.Call(s.method, a.fill(s.args).(wire.Map), s.wait)
	}
	path := s.put
	for name, v := range a.vars {
		path = strings.ReplaceAll(path, "$"+name, fmt.Sprint(v))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, a.http+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("PUT %s: %s: %s", path, res.Status, body)
	}
	return nil, err
}

// fill puts the variables in.
func (a *actor) fill(v any) any {
	switch t := v.(type) {
	case string:
		if name, ok := strings.CutPrefix(t, "$"); ok {
			return a.vars[name]
		}
	case wire.Map:
		out := wire.Map{}
		for k, e := range t {
			out[strings.ReplaceAll(k, "$node", fmt.Sprint(a.vars["node"]))] = a.fill(e)
		}
		return out
	case []any:
		out := make([]any, len(t))
		for i, e := range t {
			out[i] = a.fill(e)
		}
		return out
	}
	return v
}

// compare holds a reply to what is wanted of it; keys that are not mentioned may have any value.
func (a *actor) compare(where string, want, got any) error {
	switch w := want.(type) {
	case check:
		if err := w(got); err != nil {
			return fmt.Errorf("%s %w", where, err)
		}
		return nil
	case wire.Map:
		m, ok := got.(wire.Map)
		if !ok {
			return fmt.Errorf("%s is %#v, want a map", where, got)
		}
		for k, e := range w {
			if _, ok := m[k]; !ok {
				return fmt.Errorf("%s has no key %s: %v", where, k, m)
			}
			if err := a.compare(where+"."+k, e, m[k]); err != nil {
				return err
			}
		}
		return nil
	}
	if diff := cmp.Diff(a.fill(want), got); diff != "" {
		return fmt.Errorf("%s is not what is wanted (-want +got):\n%s", where, diff)
	}
	return nil
}
