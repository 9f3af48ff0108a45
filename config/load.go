package config

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	// maxFileSize bounds one configuration file; real ones have a few kilobytes.
	maxFileSize = 1 << 20
	// maxFiles bounds the files of one Load, all directories together.
	maxFiles = 256
)

// Load reads the files and directories of paths in order over a copy of base, which stays as it is. Of a directory it takes
// the files *.hcl and *.json in lexical order, hidden ones excepted. All problems of all files are joined into one error,
// each a *Problem with file and line; a file that can't be read is an error of its own. Nothing is validated beyond shape.
func Load(base *Config, paths ...string) (*Config, error) {
	c := base.Copy()
	var errs []error
	var files []string
	for _, path := range paths {
		found, err := expand(path)
		if err != nil {
			errs = append(errs, err)
		}
		files = append(files, found...)
	}
	if len(files) > maxFiles {
		return nil, fmt.Errorf("read configuration: %d files, at most %d are read", len(files), maxFiles)
	}
	for _, file := range files {
		src, err := readBounded(file, maxFileSize)
		if err != nil {
			errs = append(errs, fmt.Errorf("read configuration: %w", err))
			continue
		}
		if err := c.merge(file, src).err(); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return c, nil
}

// Parse reads one file's content over a copy of base. name stands in messages and, by its extension, tells JSON from HCL.
func Parse(base *Config, name string, src []byte) (*Config, error) {
	if len(src) > maxFileSize {
		return nil, fmt.Errorf("read configuration: %s has more than %d bytes", name, maxFileSize)
	}
	c := base.Copy()
	if err := c.merge(name, src).err(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Config) merge(name string, src []byte) problems {
	root, errs := parseTree(name, src)
	if len(errs) > 0 {
		return errs
	}
	c.Files = append(c.Files, name)
	return c.decode(root)
}

// Copy returns a copy that shares nothing with c.
func (c *Config) Copy() *Config {
	d := *c
	d.Files = slices.Clone(c.Files)
	d.Keyrings = slices.Clone(c.Keyrings)
	for i := range d.Keyrings {
		d.Keyrings[i].Options = maps.Clone(d.Keyrings[i].Options)
	}
	for _, list := range []*[]string{&d.Server.ServerJoin.RetryJoin, &d.Server.ServerJoin.StartJoin, &d.Client.Servers,
		&d.Client.ServerJoin.RetryJoin, &d.Client.ServerJoin.StartJoin, &d.TLS.CipherSuites, &d.Listen.HTTP} {
		*list = slices.Clone(*list)
	}
	d.Client.Meta = maps.Clone(c.Client.Meta)
	d.origin = make(map[string]Pos, len(c.origin))
	maps.Copy(d.origin, c.origin)
	d.notes = slices.Clone(c.notes)
	return &d
}

// expand returns path itself or, if it is a directory, the configuration files in it.
func expand(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	dir, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("read configuration directory: %w", err)
	}
	var files []string
	for _, name := range names {
		if ext := filepath.Ext(name); (ext == ".hcl" || ext == ".json") && !strings.HasPrefix(name, ".") {
			files = append(files, filepath.Join(path, name))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("read configuration: directory %s holds no *.hcl or *.json file", path)
	}
	slices.Sort(files)
	return files, nil
}

// readBounded reads a regular file of at most limit bytes. It looks before it opens: opening a pipe would block.
func readBounded(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	src, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(src)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return src, nil
}
