package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/api"
	"github.com/rollcall-id/rollcall/internal/progress"
	"github.com/rollcall-id/rollcall/snapshot"
)

// savedSnapshot is what save tells programs.
type savedSnapshot struct {
	File        string
	Index, Term uint64
	Size        int64 // of the archive in bytes
	Digest      string
	Redacted    bool
	LeftOut     []snapshot.LeftOut `json:",omitempty"`
}

func (a *app) snapshotSaveCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "save", usage: "save the cluster's state to a file", args: "[FILE]", most: 1,
		help: "The archive is verified before FILE appears, with mode 0600: it holds the root keys, wrapped, and whoever can unwrap\n" +
			"them can sign as the cluster. The default name has the time in it. An existing file is left alone unless -force is given,\n" +
			"and then is replaced only by a whole archive.",
		example: "operator snapshot save before-upgrade.snap",
		flags: outputFlags(
			boolFlag("stale", "take the state of the server asked, even if it is behind or there is no leader"),
			boolFlag("redact", "leave out keys and secrets; no server can be restored from the result"),
			boolFlag("compatible", "leave out what other readers of the format refuse, and say what that is; see operator snapshot convert"),
			boolFlag("force", "replace FILE"),
		),
	}, func(ctx context.Context, v *invocation) error {
		file := v.Args().First()
		if file == "" {
			file = "rollcall-" + time.Now().UTC().Format("20060102T150405Z") + ".snap"
		}
		if err := v.mayWrite(file); err != nil {
			return fmt.Errorf("save snapshot: %w", err)
		}
		saved := &savedSnapshot{File: file, Redacted: v.Bool("redact")}
		save := v.saveWhole
		switch {
		case saved.Redacted && v.Bool("compatible"):
			return usagef(v.Command, "give -redact or -compatible, not both")
		case saved.Redacted:
			save = v.saveChanged(v.writeRedacted)
		case v.Bool("compatible"):
			save = v.saveChanged(v.writeCompatible)
		}
		if err := save(ctx, saved); err != nil {
			return fmt.Errorf("save snapshot: %w", err)
		}
		v.printLeftOut(saved)
		return v.done(saved, "State file written to %s", file)
	})
}

// mayWrite refuses to replace a file without -force, and to begin what can't end well.
func (v *invocation) mayWrite(file string) error {
	if _, err := os.Stat(filepath.Dir(file)); err != nil {
		return err
	}
	if _, err := os.Lstat(file); err == nil && !v.Bool("force") {
		return fmt.Errorf("%s exists already; name another file or give -force", file)
	}
	return nil
}

func (v *invocation) saveWhole(ctx context.Context, saved *savedSnapshot) error {
	return snapshot.WriteFile(saved.File, func(f *os.File) error {
		a, err := v.download(ctx, saved.File, f)
		if err != nil {
			return err
		}
		saved.Index, saved.Term, saved.Size, saved.Digest = a.Meta.Index, a.Meta.Term, a.Size, a.DigestHeader()
		return a.Close()
	})
}

// saveChanged downloads an archive to where nobody else finds it, and has write make another of it.
func (v *invocation) saveChanged(write func(context.Context, *savedSnapshot, *snapshot.Verified) error) func(context.Context, *savedSnapshot) error {
	return func(ctx context.Context, saved *savedSnapshot) error {
		whole, err := os.CreateTemp("", "rollcall-snapshot-*.tmp")
		if err != nil {
			return err
		}
		defer func() { _ = whole.Close() }()
		if err := os.Remove(whole.Name()); err != nil { // what is in it must not stay
			return err
		}
		a, err := v.download(ctx, "from the server", whole)
		if err != nil {
			return err
		}
		defer func() { _ = a.Close() }() // it has no name either
		return write(ctx, saved, a)
	}
}

func (v *invocation) writeRedacted(ctx context.Context, saved *savedSnapshot, a *snapshot.Verified) error {
	bar := progress.New(v.err, "", 0)
	defer bar.Done()
	return snapshot.WriteFile(saved.File, func(f *os.File) error {
		out, err := snapshot.Redact(ctx, f, a, snapshot.WriteOptions{Progress: func(done, total int64) { bar.Set("Redacting", done, total) }})
		if err != nil {
			return err
		}
		saved.Index, saved.Term, saved.Size, saved.Digest = out.Meta.Index, out.Meta.Term, out.Size, out.DigestHeader()
		return nil
	})
}

// download puts a snapshot from the cluster into f, and verifies what is there then.
func (v *invocation) download(ctx context.Context, name string, f *os.File) (*snapshot.Verified, error) {
	archive, err := v.client.SaveSnapshot(ctx, &api.QueryOptions{AllowStale: v.Bool("stale")})
	if err != nil {
		return nil, err
	}
	bar := progress.New(v.err, "Receiving", 0)
	size, err := io.Copy(f, counting{archive, bar})
	bar.Done()
	if err := errors.Join(err, archive.Close()); err != nil {
		return nil, err
	}
	return v.verify(ctx, name, io.NewSectionReader(f, 0, size), size, nil)
}

// counting shows how much has been read.
type counting struct {
	io.Reader
	bar *progress.Bar
}

func (c counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.bar.Add(int64(n))
	return n, err
}
