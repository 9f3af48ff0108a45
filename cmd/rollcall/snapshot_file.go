package main

import (
	"context"
	"errors"
	"io"

	"github.com/rollcall-id/rollcall/fsm"
	"github.com/rollcall-id/rollcall/internal/progress"
	"github.com/rollcall-id/rollcall/snapshot"
)

// archiveHelp is what the commands that read an archive have in common.
const archiveHelp = `FILE is a snapshot archive of this system or of Nomad. All of it is verified before anything else is done with it.`

// verify verifies the archive in r as strictly as a restore does, showing how far it is on a terminal; also, if it is not nil,
// gets every record.
func (v *invocation) verify(ctx context.Context, name string, r io.Reader, size int64, also func(snapshot.Record) error) (*snapshot.Verified, error) {
	return v.verifying(also, func(opts snapshot.VerifyOptions) (*snapshot.Verified, error) {
		opts.Name, opts.Size = name, size
		return snapshot.Verify(ctx, r, opts)
	})
}

// verifyFile is verify for a file by its name.
func (v *invocation) verifyFile(ctx context.Context, file string, also func(snapshot.Record) error) (*snapshot.Verified, error) {
	return v.verifying(also, func(opts snapshot.VerifyOptions) (*snapshot.Verified, error) {
		return snapshot.VerifyFile(ctx, file, opts)
	})
}

func (v *invocation) verifying(also func(snapshot.Record) error, run func(snapshot.VerifyOptions) (*snapshot.Verified, error)) (*snapshot.Verified, error) {
	bar := progress.New(v.err, "", 0)
	defer bar.Done()
	var check fsm.Checker
	defer check.Close()
	return run(snapshot.VerifyOptions{
		Progress: func(done, total int64) { bar.Set("Verifying", done, total) },
		Record: func(rec snapshot.Record) error {
			err := check.Record(rec)
			var placed *snapshot.RecordError
			if errors.As(err, &placed) {
				return placed.Err // the place is added by our caller
			}
			if err == nil && also != nil {
				err = also(rec)
			}
			return err
		},
	})
}

// archive verifies the file that the command's argument at names and lets use have it.
func (v *invocation) archive(ctx context.Context, at int, also func(snapshot.Record) error, use func(*snapshot.Verified) error) error {
	a, err := v.verifyFile(ctx, v.Args().Get(at), also)
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }() // a temporary file without a name
	return use(a)
}
