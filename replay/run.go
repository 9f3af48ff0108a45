package replay

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/fsm"
	"github.com/rollcall-id/rollcall/internal/heap"
	"github.com/rollcall-id/rollcall/snapshot"
	"github.com/rollcall-id/rollcall/structs"
)

// DefaultBatch is how many entries are applied in one transaction: more than a server usually gets at a time, and few
// enough to stay in the processor's cache.
const DefaultBatch = 256

// maxFailures is how many failed entries a Result lists; the rest is counted.
const maxFailures = 100

// Options are how to replay. The zero value is complete.
type Options struct {
	FromStart bool   // use no snapshot: the log must begin at 1
	Until     uint64 // last entry to apply, 0 for the last there is
	Batch     int    // entries in one transaction, 0 for DefaultBatch; the result is the same for any
	KeepGoing bool   // go on after problems, leaving out what can't be applied
	// Progress, if set, is called now and then with what is being done and how much of it: bytes of a snapshot, or
	// entries of the log.
	Progress func(phase string, done, total int64)
	Logger   hclog.Logger // nil logs nothing
}

// ErrProblem is wrapped by the error of a replay that stopped at a problem with the log; the *Problem is in it too.
var ErrProblem = errors.New("the replay stopped")

// ErrNothing: there is neither a snapshot nor an entry to replay.
var ErrNothing = errors.New("there is neither a usable snapshot nor a log entry")

// Run replays the directory. If it stops at a problem it returns both the result so far and an error that wraps
// ErrProblem; with Options.KeepGoing it goes on and Result.Problems has them all.
func (d *Dir) Run(ctx context.Context, opts Options) (*Result, error) {
	if opts.Batch <= 0 {
		opts.Batch = DefaultBatch
	}
	if opts.Progress == nil {
		opts.Progress = func(string, int64, int64) {}
	}
	r := &run{dir: d, opts: opts, result: &Result{Path: d.path, Batch: opts.Batch, KeepGoing: opts.KeepGoing}}
	start := time.Now()
	if err := r.restore(ctx); err != nil {
		return nil, err
	}
	restored := time.Now()
	stopped := r.replay(ctx)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if stopped != nil && !errors.Is(stopped, ErrProblem) {
		return nil, stopped
	}
	if r.result.Snapshot == nil && r.result.Entries == 0 && stopped == nil {
		return nil, fmt.Errorf("replay %s: %w", d.path, ErrNothing)
	}
	if err := r.finish(restored.Sub(start), time.Since(restored)); err != nil {
		return nil, err
	}
	return r.result, stopped
}

// run is one replay.
type run struct {
	dir    *Dir
	opts   Options
	fsm    *fsm.FSM
	result *Result
	tally  tally
	from   uint64 // first entry to apply
	batch  []*raft.Log
	// diverged is the type of the checks that the state no longer passes: one of them is told about, the others
	// would say the same.
	diverged *structs.MessageType
}

// restore starts from the newest snapshot that can be used, or from nothing.
func (r *run) restore(ctx context.Context) error {
	r.from = 1
	r.fsm = fsm.New(fsm.Config{Logger: r.opts.Logger})
	if !r.opts.FromStart {
		list, err := r.dir.listSnapshots()
		if err != nil {
			return err
		}
		for _, s := range list {
			if s.Problem == "" && r.opts.Until > 0 && s.Index > r.opts.Until {
				continue
			}
			if s.Problem == "" {
				err := r.load(ctx, s)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if s.fail(err); err == nil {
					break
				}
			}
			r.result.UnusableSnapshots = append(r.result.UnusableSnapshots, s)
		}
	}
	return r.tally.begin(r.fsm.State())
}

// load makes the state that of the snapshot.
func (r *run) load(ctx context.Context, s *Snapshot) error {
	v, err := snapshot.OpenRaftDir(ctx, s.dir, snapshot.VerifyOptions{
		Progress: func(done, total int64) { r.opts.Progress("verify snapshot", done, total) },
	})
	if err != nil {
		return err
	}
	defer func() { _ = v.Close() }() // only read from
	f := fsm.New(fsm.Config{Logger: r.opts.Logger})
	if err := f.Restore(io.NopCloser(heap.NewReader(r.reading(ctx, v)))); err != nil {
		return err
	}
	report := f.LastRestore()
	r.fsm, r.from = f, s.Index+1
	r.result.Snapshot = &SnapshotUsed{ID: s.ID, Index: s.Index, Term: s.Term,
		Records: recordCounts(report.Records), Opaque: recordCounts(report.Opaque), Discarded: recordCounts(report.Discarded),
	}
	r.result.LastIndex, r.result.LastTerm = s.Index, s.Term
	r.result.ConfigurationIndex, r.result.configuration = s.meta.ConfigurationIndex, s.meta.Configuration
	r.result.at = s.Created
	r.result.Backfills.SnapshotPools, r.result.Backfills.SnapshotSecrets = report.PoolsBackfilled, report.SecretsConverted
	return nil
}

// reading returns the state of a snapshot; reading it reports progress and ends with ctx.
func (r *run) reading(ctx context.Context, v *snapshot.Verified) io.Reader {
	return &progressReader{ctx: ctx, src: v.State(), report: func(n int64) { r.opts.Progress("load snapshot", n, v.Meta.Size) }}
}

// replay applies the entries after the snapshot. The error wraps ErrProblem if the log is why it ended.
func (r *run) replay(ctx context.Context) error {
	total := r.remaining()
	r.opts.Progress("log", 0, total)
	err := r.dir.scan(ctx, r.from, r.opts.Until, true, func(e entry) error {
		if err := r.add(&e.Log); err != nil {
			return err
		}
		if len(r.batch) < r.opts.Batch {
			return nil
		}
		r.opts.Progress("log", int64(e.Index-r.from+1), total)
		if err := ctx.Err(); err != nil {
			return err
		}
		return r.apply()
	}, func(p *Problem) error {
		if err := r.apply(); err != nil { // what came before is good
			return err
		}
		return r.problem(p)
	})
	if err != nil {
		return err
	}
	return r.apply()
}

// remaining is how many entries there are to apply, 0 if it is not known.
func (r *run) remaining() int64 {
	if r.dir.logs == nil {
		return 0
	}
	key, err := r.dir.logs.Last()
	if err != nil || len(key) != 8 {
		return 0
	}
	last := binary.BigEndian.Uint64(key)
	if r.opts.Until > 0 {
		last = min(last, r.opts.Until)
	}
	if last < r.from {
		return 0
	}
	return int64(last - r.from + 1)
}

// problem notes p and returns an error if the replay is to stop there.
func (r *run) problem(p *Problem) error {
	if p.Kind == KindGap && p.Index == r.from {
		p.What += r.whyNoSnapshot()
	}
	r.result.problem(p)
	if r.opts.KeepGoing {
		return nil
	}
	return fmt.Errorf("replay %s: %w: %w", r.dir.path, ErrProblem, p)
}

// whyNoSnapshot explains a log that does not begin where the state ends.
func (r *run) whyNoSnapshot() string {
	switch {
	case r.opts.FromStart:
		return "; the log can't be replayed from its start: use a snapshot"
	case r.result.Snapshot == nil:
		return "; no usable snapshot has them"
	}
	return fmt.Sprintf("; the snapshot %s ends before them", r.result.Snapshot.ID)
}

// add puts an entry into the batch.
func (r *run) add(log *raft.Log) error {
	if log.Type == raft.LogConfiguration {
		c, err := decodeConfiguration(log.Data)
		if err != nil {
			if err := r.apply(); err != nil {
				return err
			}
			return r.problem(&Problem{Kind: KindDamaged, Index: log.Index, Type: logTypeName(log.Type), What: "its configuration can't be decoded"})
		}
		r.result.ConfigurationIndex, r.result.configuration = log.Index, snapshot.MetaFromRaft(&raft.SnapshotMeta{Configuration: *c}).Configuration
	}
	if r.diverged != nil && log.Type == raft.LogCommand && len(log.Data) > 0 && messageType(log.Data) == *r.diverged {
		if err := r.apply(); err != nil { // what came before
			return err
		}
		r.tally.skip([]fsm.SkippedCount{{Type: *r.diverged, Count: 1}})
		r.count(log, nil)
		return nil
	}
	r.batch = append(r.batch, log)
	return nil
}

// apply applies the batch and counts what came of it.
func (r *run) apply() error {
	logs := r.batch
	r.batch = r.batch[len(r.batch):]
	if len(logs) == 0 {
		return nil
	}
	if r.opts.KeepGoing {
		if err := r.dropUndecodable(&logs); err != nil {
			return err
		}
	}
	results := r.fsm.ApplyBatch(logs)
	var stopped *fsm.LogError
	errors.As(r.fsm.Err(), &stopped) // nil if it goes on
	for i, log := range logs {
		if stopped != nil && log.Index >= stopped.Index {
			if err := r.refused(stopped); err != nil {
				return err
			}
			return r.resume(stopped, logs[i+1:])
		}
		err, _ := results[i].(error)
		r.count(log, err)
	}
	return nil
}

// count notes what became of an applied entry.
func (r *run) count(log *raft.Log, err error) {
	r.result.Entries++
	if r.result.First == 0 {
		r.result.First = log.Index
	}
	r.result.LastIndex, r.result.LastTerm = log.Index, log.Term
	if !log.AppendedAt.IsZero() {
		r.result.at = log.AppendedAt
	}
	r.tally.add(log, err)
	if err == nil {
		return
	}
	if r.result.Failed++; len(r.result.Failures) < maxFailures {
		r.result.Failures = append(r.result.Failures, Failure{Index: log.Index, Type: messageType(log.Data).String(), Error: err.Error()})
	}
}

// finish fills in what is known at the end.
func (r *run) finish(restoring, replaying time.Duration) error {
	r.result.state = r.fsm.State()
	digest, err := r.result.state.Digest()
	if err != nil {
		return fmt.Errorf("digest of the state: %w", err)
	}
	r.result.Digest = hex.EncodeToString(digest[:])
	r.tally.skip(r.fsm.Skipped())
	r.tally.finish(r.result)
	r.result.Configuration = serversOf(snapshot.Meta{Configuration: r.result.configuration}.Raft().Configuration)
	r.result.RestoreSeconds, r.result.ReplaySeconds = restoring.Seconds(), replaying.Seconds()
	if s := replaying.Seconds(); s > 0 {
		r.result.EntriesPerSecond = float64(r.result.Entries) / s
	}
	return nil
}

// progressReader reports how far a reader has got, once a megabyte, and ends when its context does.
type progressReader struct {
	ctx     context.Context
	src     io.Reader
	n, told int64
	report  func(int64)
}

func (p *progressReader) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := p.src.Read(b)
	if p.n += int64(n); p.n-p.told >= 1<<20 || err != nil {
		p.told = p.n
		p.report(p.n)
	}
	return n, err
}
