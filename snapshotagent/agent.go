package snapshotagent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/snapshot"
)

const (
	// DefaultInterval is the time between the beginnings of two rounds.
	DefaultInterval = time.Hour
	// DefaultRetain is how many snapshots are kept: two days of them at the default interval.
	DefaultRetain = 48
	// DefaultName begins the names of stored snapshots.
	DefaultName = "rollcall"
	// minInterval keeps the agent from being a load.
	minInterval = 10 * time.Second
	// failedPause is how long a round that failed is followed by none, unless the interval is shorter.
	failedPause = 5 * time.Minute
)

// Config says what to take and where to put it. Zero values stand for the defaults.
type Config struct {
	Source   Source
	Store    Store
	Interval time.Duration
	Retain   int    // how many snapshots are kept; -1 keeps all
	Name     string // of letters, digits, "_" and "-"; clusters that share a directory or bucket need different ones
	TempDir  string // needs room for two archives and one state; "" is os.TempDir()
	Attempts int    // at each step of a round; 0 stands for 5
	Logger   hclog.Logger
}

// Source saves an archive of a cluster's state. Its reader ends with io.EOF only if everything has come as it was sent.
type Source func(ctx context.Context) (io.ReadCloser, error)

// FromServer is a Source that asks a server.
func FromServer(c *api.Client, q *api.QueryOptions) Source {
	return func(ctx context.Context) (io.ReadCloser, error) {
		s, err := c.SaveSnapshot(ctx, q)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
}

// Store keeps snapshots by name. Its methods are called one at a time.
type Store interface {
	// String says where it is, for people.
	String() string
	// Put stores size bytes of archive. Others see all of it or nothing.
	Put(ctx context.Context, name string, archive io.ReaderAt, size int64) error
	// List returns the names of everything that is there.
	List(ctx context.Context) ([]string, error)
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	Delete(ctx context.Context, name string) error
}

// Agent takes snapshots. Run and Once must not be called at the same time.
type Agent struct {
	cfg     Config
	log     hclog.Logger
	metrics *metrics
}

// New checks the configuration.
func New(cfg Config) (*Agent, error) {
	if cfg.Interval == 0 {
		cfg.Interval = DefaultInterval
	}
	if cfg.Retain == 0 {
		cfg.Retain = DefaultRetain
	}
	if cfg.Name == "" {
		cfg.Name = DefaultName
	}
	if cfg.Attempts == 0 {
		cfg.Attempts = 5
	}
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	var errs []error
	if cfg.Source == nil || cfg.Store == nil {
		errs = append(errs, errors.New("a source and a store are needed"))
	}
	if cfg.Interval < minInterval {
		errs = append(errs, fmt.Errorf("interval %s is shorter than %s", cfg.Interval, minInterval))
	}
	if cfg.Retain < -1 {
		errs = append(errs, fmt.Errorf("retain %d: want a number of snapshots, or -1 for all", cfg.Retain))
	}
	if !validName(cfg.Name) {
		errs = append(errs, fmt.Errorf("name %q: want up to 64 letters, digits, \"_\" and \"-\"", cfg.Name))
	}
	if cfg.Attempts < 0 {
		errs = append(errs, fmt.Errorf("attempts %d: want a number above 0", cfg.Attempts))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("configure snapshot agent: %w", err)
	}
	return &Agent{cfg: cfg, log: cfg.Logger.Named("snapshot-agent"), metrics: newMetrics()}, nil
}

// Run takes snapshots until ctx is done. The first is due an interval after the newest that is stored.
func (a *Agent) Run(ctx context.Context) {
	a.log.Info("taking snapshots", "interval", a.cfg.Interval, "retain", a.cfg.Retain, "store", a.cfg.Store.String())
	for wait := a.untilFirst(ctx); sleep(ctx, wait); {
		start := time.Now()
		_, err := a.Once(ctx)
		wait = a.cfg.Interval
		if err != nil {
			wait = min(wait, failedPause)
		}
		wait = max(wait-time.Since(start), 0)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			a.log.Error("no snapshot taken", "next", wait, "error", err)
		default:
			a.log.Debug("next snapshot", "in", wait)
		}
	}
	a.log.Info("stopped")
}

// untilFirst is how long nothing is due.
func (a *Agent) untilFirst(ctx context.Context) time.Duration {
	stored, err := a.stored(ctx)
	if err != nil || len(stored) == 0 {
		return 0 // if the store fails, so will the round, and say so
	}
	a.metrics.stored.Set(float64(len(stored)))
	age := time.Since(stored[0].taken)
	if age < 0 {
		return 0 // another clock
	}
	return max(a.cfg.Interval-age, 0)
}

// sleep waits; it reports false if ctx is done.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// tempFile returns a file without a name, which is gone when it is closed.
func tempFile(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "rollcall-snapshot-*.tmp")
	if err != nil {
		return nil, fmt.Errorf("create temporary file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("unlink temporary file: %w", err), f.Close())
	}
	return f, nil
}

// damaged tells whether err says that an archive, and not the way to it, is bad.
func damaged(err error) bool {
	for _, kind := range []error{errOther, snapshot.ErrDamaged, snapshot.ErrNotArchive, snapshot.ErrRefused, snapshot.ErrTooLarge} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}
