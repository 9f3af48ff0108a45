package replay

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rollcall-id/rollcall/internal/boltread"
)

// lockTimeout is how long a server that is just stopping may take to let go of its log.
const lockTimeout = time.Second

var (
	// ErrHeld: a running server has the log open. Stop it, or look at a copy of its data directory.
	ErrHeld = errors.New("held by another process")
	// ErrNoLog: there is no Raft log at the path.
	ErrNoLog = errors.New("no Raft log there")
	// ErrUnsupported: the log is kept in a way that this version does not read.
	ErrUnsupported = errors.New("not supported")
	// ErrDamaged: the log's file can't be read at all.
	ErrDamaged = errors.New("damaged, or not a Raft log")
)

// Dir is an open data directory. Close it after use.
type Dir struct {
	path string // of raft.db
	raft string // folder of raft.db and snapshots
	file *boltread.File
	logs *boltread.Bucket // nil if it can't be found
	lost error            // why it can't
	conf *boltread.Bucket // nil if it can't be read
}

// Open opens what path names: a data directory, its server folder, the raft folder in that, or the file raft.db.
func Open(path string) (*Dir, error) {
	file, err := findLog(path)
	if err != nil {
		return nil, err
	}
	d := &Dir{path: file, raft: filepath.Dir(file)}
	if d.file, err = boltread.Open(file, lockTimeout); err != nil {
		return nil, openError(file, err)
	}
	var page *boltread.PageError
	if d.logs, d.lost = d.file.Bucket("logs"); d.lost != nil && !errors.As(d.lost, &page) {
		err := d.lost
		return nil, errors.Join(fmt.Errorf("open Raft log %s: %w: %w%s", file, ErrDamaged, err, d.tornNote()), d.file.Close())
	}
	if d.conf, err = d.file.Bucket("conf"); err != nil {
		d.conf = nil // term and vote are shown, never needed
	}
	return d, nil
}

func openError(file string, err error) error {
	switch {
	case errors.Is(err, boltread.ErrLocked):
		return fmt.Errorf("open Raft log %s: %w: stop the server that runs on this data directory, or look at a copy of it", file, ErrHeld)
	case errors.Is(err, boltread.ErrNotBolt):
		return fmt.Errorf("open Raft log %w: %w", err, ErrDamaged)
	}
	return fmt.Errorf("open Raft log: %w", err)
}

// findLog returns the path of the raft.db that path stands for.
func findLog(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("find Raft log: %w", err)
	}
	if !info.IsDir() {
		return path, nil
	}
	for _, below := range []string{"server/raft", "raft", "."} {
		dir := filepath.Join(path, filepath.FromSlash(below))
		file := filepath.Join(dir, "raft.db")
		if exists(file) {
			return file, nil
		}
		if exists(filepath.Join(dir, "wal")) {
			return "", fmt.Errorf("read %s: the \"wal\" log store is %w here, only \"boltdb\" (raft.db) is", filepath.Join(dir, "wal"), ErrUnsupported)
		}
	}
	return "", fmt.Errorf("find Raft log in %s: %w: want a data directory with server/raft/raft.db, its server or raft folder, or the file itself", path, ErrNoLog)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil || !errors.Is(err, fs.ErrNotExist)
}

// Path is the log's file.
func (d *Dir) Path() string { return d.path }

// Close lets go of the directory.
func (d *Dir) Close() error {
	if err := d.file.Close(); err != nil {
		return fmt.Errorf("close Raft log %s: %w", d.path, err)
	}
	return nil
}

// torn reports whether the file's end is missing.
func (d *Dir) torn() bool { return d.file.Size() < d.file.Extent() }

func (d *Dir) tornNote() string {
	if !d.torn() {
		return ""
	}
	return fmt.Sprintf("; the file was cut off: it has %d of %d bytes", d.file.Size(), d.file.Extent())
}

// readSmall returns the trimmed content of a small file beside the log, "" if there is none.
func (d *Dir) readSmall(name string) string {
	b, err := os.ReadFile(filepath.Join(d.raft, filepath.FromSlash(name)))
	if err != nil || len(b) > 256 {
		return ""
	}
	return strings.TrimSpace(string(b))
}
