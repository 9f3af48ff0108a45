package snapshot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// tempFile returns a file without a name: whatever ends the process, nothing is left in dir.
func tempFile(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, ".snapshot-*.tmp")
	if err != nil {
		return nil, fmt.Errorf("create temporary file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, fmt.Errorf("unlink temporary file: %w", errors.Join(err, f.Close()))
	}
	return f, nil
}

// WriteFile makes the file at path hold what fill writes, or leaves it as it was. fill gets an empty file of mode
// 0600 in the same directory; it may read it back, to verify it, before it returns. The content is on disk when
// WriteFile returns. A process killed in the middle leaves a file ".<name>.*.tmp" that can be deleted.
func WriteFile(path string, fill func(f *os.File) error) (err error) {
	dir, name := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	f, err := os.CreateTemp(dir, "."+name+".*.tmp")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()           // closed already, or of no interest beside err
			_ = os.Remove(f.Name()) // best effort; the name says that it is temporary
		}
	}()
	if err := fill(f); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory of %s: %w", path, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync directory of %s: %w", path, err)
	}
	return nil
}
