package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"sync"
	"time"
)

// debugFailure is a part of a bundle that could not be had.
type debugFailure struct {
	File  string
	Error string
}

// bundle is a compressed tar archive in the making. It has another name until it is whole. Its methods but discard are safe
// for concurrent use.
type bundle struct {
	path   string
	root   string // directory in the archive
	secret []byte // is taken out of whatever is written; empty for none
	file   *os.File
	zip    *gzip.Writer

	mu       sync.Mutex // guards the fields below and everything written
	tar      *tar.Writer
	err      error // the first of writing; nothing is written after it
	failures []debugFailure
}

func createBundle(name, secret string) (*bundle, error) {
	f, err := os.OpenFile(name+".partial", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create debug archive: %w", err)
	}
	zip := gzip.NewWriter(f)
	return &bundle{path: name, root: "rollcall-debug", secret: []byte(secret), file: f, zip: zip, tar: tar.NewWriter(zip)}, nil
}

// add writes one file. No agent tells a secret; the caller's token is taken out all the same, should one repeat it.
func (b *bundle) add(name string, content []byte) {
	if len(b.secret) > 0 {
		content = bytes.ReplaceAll(content, b.secret, []byte("<redacted>"))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return
	}
	head := &tar.Header{Name: path.Join(b.root, name), Mode: 0o600, Size: int64(len(content)), ModTime: time.Now(), Format: tar.FormatPAX}
	if b.err = b.tar.WriteHeader(head); b.err == nil {
		_, b.err = b.tar.Write(content)
	}
}

// fail notes what could not be had.
func (b *bundle) fail(name string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = append(b.failures, debugFailure{name, err.Error()})
}

// finish writes the manifest and gives the archive its name.
func (b *bundle) finish(manifest any) error {
	text, err := json.MarshalIndent(manifest, "", "    ")
	if err != nil {
		return fmt.Errorf("write debug archive: %w", err)
	}
	b.add("manifest.json", append(text, '\n'))
	err = errors.Join(b.err, b.tar.Close(), b.zip.Close(), b.file.Sync(), b.file.Close())
	if err == nil {
		err = os.Rename(b.path+".partial", b.path)
	}
	if err != nil {
		return fmt.Errorf("write debug archive: %w", err)
	}
	b.file = nil
	return nil
}

// discard removes an archive that was not finished.
func (b *bundle) discard() {
	if b.file != nil {
		b.file.Close()
		os.Remove(b.path + ".partial")
	}
}
