package profile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"strings"
	"time"
)

const (
	// MaxSeconds bounds a profile that runs for a time: it slows the whole process down.
	MaxSeconds = 60
	// MaxBytes bounds a profile's size; a minute of trace of a busy server may be larger.
	MaxBytes = 32 << 20
)

var (
	// ErrUnknown: there is no profile of that name.
	ErrUnknown = errors.New("unknown profile")
	// ErrBusy: another one of the kind runs, and the runtime has one at a time. Try again when it is over.
	ErrBusy = errors.New("a profile of this kind is being taken already, try again later")
	// ErrTooLarge: ask for fewer seconds.
	ErrTooLarge = errors.New("profile is too large, ask for fewer seconds")
)

// Options say how the profile is taken.
type Options struct {
	// Seconds that a CPU profile or trace runs; 0 means 1, more than MaxSeconds means that.
	Seconds int
	// Debug other than 0 asks for text instead of the binary form, where there is one.
	Debug int
	// GC collects garbage before a heap profile.
	GC bool
}

// Collect takes the profile: "profile" is of the CPU, "trace" an execution trace, "cmdline" the command line, anything else
// one that the runtime keeps, such as heap, goroutine, allocs, block, mutex and threadcreate. One that runs for a time ends
// early when ctx does. maxBytes bounds the result, up to MaxBytes.
func Collect(ctx context.Context, kind string, o Options, maxBytes int) ([]byte, error) {
	out := &bounded{left: min(maxBytes, MaxBytes)}
	var err error
	switch kind {
	case "cmdline":
		_, err = out.Write([]byte(strings.Join(hideSecrets(os.Args), "\x00")))
	case "profile":
		err = timed(ctx, o.Seconds, func() error { return pprof.StartCPUProfile(out) }, pprof.StopCPUProfile)
	case "trace":
		err = timed(ctx, o.Seconds, func() error { return trace.Start(out) }, trace.Stop)
	default:
		p := pprof.Lookup(kind)
		if p == nil {
			return nil, fmt.Errorf("%w %q", ErrUnknown, kind)
		}
		if kind == "heap" && o.GC {
			runtime.GC()
		}
		err = p.WriteTo(out, o.Debug)
	}
	switch {
	case out.full:
		return nil, ErrTooLarge
	case err != nil:
		return nil, fmt.Errorf("take profile %s: %w", kind, err)
	}
	return out.buf.Bytes(), nil
}

// Text reports whether the result is for reading.
func Text(kind string, o Options) bool {
	return kind == "cmdline" || o.Debug != 0 && kind != "profile" && kind != "trace"
}

// timed runs a profile for a time.
func timed(ctx context.Context, seconds int, start func() error, stop func()) error {
	if err := start(); err != nil {
		return ErrBusy // the only reason there is
	}
	defer stop()
	t := time.NewTimer(time.Duration(min(max(seconds, 1), MaxSeconds)) * time.Second)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// secretFlags are parts of the names of flags whose values nobody is told.
var secretFlags = []string{"encrypt", "token", "secret", "key", "password"}

// hideSecrets replaces the values of such flags, given behind = or as the next argument.
func hideSecrets(args []string) []string {
	const hidden = "<redacted>"
	out := make([]string, len(args))
	hide := false
	for i, a := range args {
		name, _, joined := strings.Cut(a, "=")
		secret := false
		for _, s := range secretFlags {
			secret = secret || strings.HasPrefix(a, "-") && strings.Contains(strings.ToLower(name), s)
		}
		switch {
		case hide && !strings.HasPrefix(a, "-"):
			out[i] = hidden
		case secret && joined:
			out[i] = name + "=" + hidden
		default:
			out[i] = a
		}
		hide = secret && !joined
	}
	return out
}

// bounded keeps what is written until it is too much; the rest is dropped, as a profile can't be stopped by an error.
type bounded struct {
	buf  bytes.Buffer
	left int
	full bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.full || len(p) > b.left {
		b.full = true
		b.buf = bytes.Buffer{}
		return len(p), nil
	}
	b.left -= len(p)
	return b.buf.Write(p)
}
