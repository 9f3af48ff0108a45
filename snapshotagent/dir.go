package snapshotagent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rollcall-id/rollcall/snapshot"
)

// Dir is a Store in a directory. Files have mode 0600.
type Dir struct{ path string }

var _ Store = (*Dir)(nil)

// NewDir makes the directory if it is not there.
func NewDir(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make snapshot directory: %w", err)
	}
	return &Dir{path}, nil
}

func (d *Dir) String() string { return d.path }

// Put writes a temporary file beside, syncs it and renames it.
func (d *Dir) Put(ctx context.Context, name string, archive io.ReaderAt, size int64) error {
	return snapshot.WriteFile(filepath.Join(d.path, name), func(f *os.File) error {
		stop := context.AfterFunc(ctx, func() { _ = f.Close() }) // makes the copy fail
		_, err := io.Copy(f, io.NewSectionReader(archive, 0, size))
		if !stop() {
			return context.Cause(ctx)
		}
		return err
	})
}

// List returns the names of regular files.
func (d *Dir) List(context.Context) ([]string, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Open opens a file.
func (d *Dir) Open(_ context.Context, name string) (io.ReadCloser, error) {
	return os.Open(filepath.Join(d.path, name))
}

// Delete removes a file. One that is gone already is no error.
func (d *Dir) Delete(_ context.Context, name string) error {
	if err := os.Remove(filepath.Join(d.path, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
