package snapshotagent

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rollcall-id/rollcall/fsm"
	"github.com/rollcall-id/rollcall/internal/heap"
	"github.com/rollcall-id/rollcall/snapshot"
	"github.com/rollcall-id/rollcall/structs"
)

const (
	firstBackoff = time.Second
	maxBackoff   = time.Minute
)

var (
	// errOther: what is stored is a good archive, but not the one that was put there.
	errOther = errors.New("the stored snapshot is another one than was stored")
	// errNoRestore: the archive is whole, but this version can't make a state of it. Trying again does not help.
	errNoRestore = errors.New("the snapshot does not restore with this version")
)

// Taken is a snapshot that was stored and has passed its drill.
type Taken struct {
	Name        string
	Store       string
	Index, Term uint64
	Size        int64  // of the archive in bytes
	Digest      string // of the archive, as HTTP sends it
	Drill       Drill
	Deleted     []string // older snapshots that the retention no longer covers
	Took        time.Duration
}

// Drill is what restoring a stored snapshot gave.
type Drill struct {
	Records     uint64 // that were loaded
	Nodes       uint64
	Opaque      uint64 // records without an effect here, kept as they are
	Discarded   uint64
	StateDigest string // SHA-256 of the state in hexadecimal
	Took        time.Duration
}

// Once takes one snapshot. Each step is tried several times; an error means that the snapshots before are still there,
// and possibly a good new one that has not been drilled.
func (a *Agent) Once(ctx context.Context) (*Taken, error) {
	start := time.Now()
	a.metrics.lastAttempt.SetToCurrentTime()
	taken, err := a.round(ctx)
	if err != nil {
		if ctx.Err() == nil {
			a.metrics.rounds.WithLabelValues("failed").Inc()
		}
		return nil, err
	}
	taken.Took = time.Since(start)
	a.metrics.success(taken)
	a.log.Info("snapshot taken", "name", taken.Name, "store", taken.Store, "index", taken.Index, "term", taken.Term, "bytes", taken.Size,
		"digest", taken.Digest, "nodes", taken.Drill.Nodes, "records", taken.Drill.Records, "opaque", taken.Drill.Opaque,
		"discarded", taken.Drill.Discarded, "state_digest", taken.Drill.StateDigest, "drill", taken.Drill.Took, "took", taken.Took)
	return taken, nil
}

func (a *Agent) round(ctx context.Context) (_ *Taken, err error) {
	file, err := tempFile(a.cfg.TempDir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it has no name any more
	var v *snapshot.Verified
	err = a.retry(ctx, "save snapshot", func() error {
		v, err = a.save(ctx, file)
		return err
	})
	if err != nil {
		return nil, err
	}
	taken := &Taken{
		Name: a.name(time.Now(), v.Meta.Index), Store: a.cfg.Store.String(), Index: v.Meta.Index, Term: v.Meta.Term,
		Size: v.Size, Digest: v.DigestHeader(),
	}
	if err := a.retry(ctx, "store snapshot", func() error { return a.store(ctx, file, taken) }); err != nil {
		return nil, err
	}
	if taken.Deleted, err = a.prune(ctx, taken.Name); err != nil {
		// The snapshot is taken; there are only more of them than there should be.
		a.metrics.pruneFailures.Inc()
		a.log.Error("old snapshots not deleted", "error", err)
	}
	return taken, nil
}

// save fetches a snapshot into file and verifies it. Of the result only the description is valid.
func (a *Agent) save(ctx context.Context, file *os.File) (*snapshot.Verified, error) {
	if err := file.Truncate(0); err != nil {
		return nil, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	archive, err := a.cfg.Source(ctx)
	if err != nil {
		return nil, err
	}
	size, err := io.Copy(file, archive)
	if err := errors.Join(err, archive.Close()); err != nil {
		return nil, err
	}
	v, err := snapshot.Verify(ctx, io.NewSectionReader(file, 0, size), snapshot.VerifyOptions{Name: "from the server", TempDir: a.cfg.TempDir})
	if err != nil {
		return nil, err
	}
	return v, v.Close()
}

// store puts the snapshot where it belongs and drills it there. A damaged one is taken away again.
func (a *Agent) store(ctx context.Context, file io.ReaderAt, taken *Taken) error {
	if err := a.cfg.Store.Put(ctx, taken.Name, file, taken.Size); err != nil {
		return err
	}
	err := a.drill(ctx, taken)
	if err == nil {
		return nil
	}
	a.metrics.drillFailures.Inc()
	err = fmt.Errorf("drill %s: %w", taken.Name, err)
	if damaged(err) && ctx.Err() == nil {
		return errors.Join(err, a.cfg.Store.Delete(ctx, taken.Name))
	}
	return err
}

// drill reads the snapshot from where it is stored and restores it, all but into a cluster.
func (a *Agent) drill(ctx context.Context, taken *Taken) error {
	start := time.Now()
	in, err := a.cfg.Store.Open(ctx, taken.Name)
	if err != nil {
		return err
	}
	v, err := snapshot.Verify(ctx, in, snapshot.VerifyOptions{Name: taken.Name, Size: taken.Size, TempDir: a.cfg.TempDir})
	if err := errors.Join(err, in.Close()); err != nil {
		return err
	}
	defer func() { _ = v.Close() }() // it has no name
	if v.DigestHeader() != taken.Digest {
		return errOther
	}
	state, report, err := fsm.ReadState(heap.NewReader(v.State()))
	if err != nil {
		return fmt.Errorf("%w: %w", errNoRestore, err)
	}
	digest, err := state.Digest()
	if err != nil {
		return fmt.Errorf("%w: %w", errNoRestore, err)
	}
	taken.Drill = Drill{
		Records: sum(report.Records), Nodes: countOf(report.Records, structs.NodeRecord), Opaque: sum(report.Opaque),
		Discarded: sum(report.Discarded), StateDigest: hex.EncodeToString(digest[:]), Took: time.Since(start),
	}
	return nil
}

func sum(counts []snapshot.Count) (n uint64) {
	for _, c := range counts {
		n += c.Records
	}
	return n
}

func countOf(counts []snapshot.Count, t structs.RecordType) uint64 {
	for _, c := range counts {
		if c.Type == t {
			return c.Records
		}
	}
	return 0
}

// retry does f until it succeeds, waiting longer each time.
func (a *Agent) retry(ctx context.Context, what string, f func() error) error {
	pause := firstBackoff
	for n := 1; ; n++ {
		err := f()
		if err == nil {
			return nil
		}
		err = fmt.Errorf("%s: %w", what, err)
		if n >= a.cfg.Attempts || ctx.Err() != nil || errors.Is(err, errNoRestore) || errors.Is(err, structs.ErrPermissionDenied) {
			return err
		}
		a.metrics.retries.Inc()
		a.log.Warn("trying again", "in", pause, "attempt", n, "error", err)
		if !sleep(ctx, pause) {
			return err
		}
		pause = min(2*pause, maxBackoff)
	}
}
