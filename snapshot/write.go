package snapshot

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
)

// gzipHeader says deflate, neither time nor system, and an extra field "RC" of four bytes: the CRC-32 of everything
// that follows. Deflate can say the same in many ways, so gzip's own CRC, which is that of the content, does not
// notice every flipped bit; this one does. Readers that don't know the field skip it.
const gzipHeader = "\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff\x08\x00RC\x04\x00"

// gzipHeaderBytes is the length of the header with its CRC.
const gzipHeaderBytes = len(gzipHeader) + crc32.Size

// copyBuffer is the size of the buffers through which bytes are copied.
const copyBuffer = 256 << 10

// WriteOptions are optional, all of them.
type WriteOptions struct {
	// TempDir is where the compressed state waits until its size is known; the default is os.TempDir(), which may
	// be in memory.
	TempDir string
	// Progress, if set, is called in the goroutine that writes the state, with the bytes of it that are done and
	// their total, 0 if unknown.
	Progress func(done, total int64)
}

// Written describes an archive that was written.
type Written struct {
	Meta     Meta // with the size of the state
	Size     int64
	Digest   [sha256.Size]byte // SHA-256 of the archive
	StateSum [sha256.Size]byte // SHA-256 of state.bin
}

// DigestHeader returns the value of the HTTP header Digest (wire.md §5.7).
func (w *Written) DigestHeader() string { return digestHeader(w.Digest) }

func digestHeader(s sum) string { return "sha-256=" + base64.StdEncoding.EncodeToString(s[:]) }

// From returns a state for Write that copies r to the end.
func From(r io.Reader) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.CopyBuffer(onlyWriter{w}, onlyReader{r}, make([]byte, copyBuffer))
		return err
	}
}

// onlyWriter and onlyReader hide what would make io.CopyBuffer use a buffer of another size.
type onlyWriter struct{ io.Writer }
type onlyReader struct{ io.Reader }

// Write writes an archive (wire.md §7.1) with meta and what state writes. The same state and meta give the same
// bytes. If meta.Size is not 0 the state must have that many bytes. Nothing is written to w before the whole state
// has been; state itself is not checked: it is to come from a Writer or a Verified.
//
// It compresses the state once, as it comes, into a temporary file. Since that file holds pieces of a deflate stream
// that don't depend on what is before them, the header that needs the state's size can be put in front afterwards.
func Write(ctx context.Context, w io.Writer, meta Meta, state func(io.Writer) error, opts WriteOptions) (*Written, error) {
	out, err := write(ctx, w, meta, state, opts)
	if err != nil {
		return nil, fmt.Errorf("write snapshot archive %s: %w", meta.ID, err)
	}
	return out, nil
}

func write(ctx context.Context, w io.Writer, meta Meta, state func(io.Writer) error, opts WriteOptions) (_ *Written, err error) {
	spool, err := tempFile(opts.TempDir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, spool.Close()) }()
	buffered := bufio.NewWriterSize(spool, copyBuffer)
	d := newDeflater(buffered)
	err = state(&meter{ctx: ctx, w: d, total: meta.Size, progress: opts.Progress})
	if failed := d.Close(); err == nil { // whatever state returned, Close stops the goroutines
		err = failed
	}
	if err == nil {
		err = buffered.Flush()
	}
	if err != nil {
		return nil, err
	}
	if meta.Size != 0 && meta.Size != d.size {
		return nil, fmt.Errorf("the state has %d bytes, its metadata says %d", d.size, meta.Size)
	}
	meta.Size = d.size
	if err := meta.Validate(); err != nil {
		return nil, err
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("rewind temporary file: %w", err)
	}
	out := &Written{Meta: meta, StateSum: sum(d.sum.Sum(nil))}
	head, tail, err := frame(meta, out.StateSum)
	if err != nil {
		return nil, err
	}
	return out, assemble(ctx, w, out, head, d, spool, tail)
}

// meter stops a copy when its context is done, and reports progress.
type meter struct {
	ctx         context.Context
	w           io.Writer
	done, total int64
	progress    func(done, total int64)
}

func (m *meter) Write(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.w.Write(p)
	m.done += int64(n)
	if m.progress != nil {
		m.progress(m.done, m.total)
	}
	return n, err
}

// frame returns the bytes of the tar file before and after the state.
func frame(meta Meta, state sum) (head, tail []byte, err error) {
	text, err := meta.encode()
	if err != nil {
		return nil, nil, err
	}
	var before, after bytes.Buffer
	tw := tar.NewWriter(&before)
	if err := addMember(tw, memberMeta, text); err != nil {
		return nil, nil, err
	}
	if err := tw.WriteHeader(tarHeader(memberState, meta.Size)); err != nil {
		return nil, nil, err
	}
	_, _ = after.Write(make([]byte, padding(meta.Size))) // a Buffer can't fail
	tw = tar.NewWriter(&after)
	if err := addMember(tw, memberSums, encodeSums(sha256.Sum256(text), state)); err != nil {
		return nil, nil, err
	}
	if err := tw.Close(); err != nil { // writes the end
		return nil, nil, err
	}
	return before.Bytes(), after.Bytes(), nil
}

func addMember(tw *tar.Writer, name string, content []byte) error {
	if err := tw.WriteHeader(tarHeader(name, int64(len(content)))); err != nil {
		return err
	}
	_, err := tw.Write(content)
	return err
}

func tarHeader(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600}
}

// padding is how many zeros follow n bytes of content in a tar file.
func padding(n int64) int64 { return -n & (tarBlock - 1) }

// assemble writes the gzip file: head, the deflated state in spool, and tail.
func assemble(ctx context.Context, w io.Writer, out *Written, head []byte, state *deflater, spool io.Reader, tail []byte) error {
	before, err := deflated(head, (*flate.Writer).Flush)
	if err != nil {
		return err
	}
	after, err := deflated(tail, (*flate.Writer).Close)
	if err != nil {
		return err
	}
	content := crc32.Update(crcCombine(crc32.ChecksumIEEE(head), state.crc, state.size), crc32.IEEETable, tail)
	after = binary.LittleEndian.AppendUint32(after, content)
	after = binary.LittleEndian.AppendUint32(after, uint32(int64(len(head))+state.size+int64(len(tail))))
	follows := crc32.Update(crcCombine(crc32.ChecksumIEEE(before), state.outCRC, state.outSize), crc32.IEEETable, after)

	dst := &digester{w: w, sum: sha256.New()}
	if _, err := dst.Write(append(binary.LittleEndian.AppendUint32([]byte(gzipHeader), follows), before...)); err != nil {
		return err
	}
	if err := From(spool)(&meter{ctx: ctx, w: dst}); err != nil {
		return err
	}
	if _, err := dst.Write(after); err != nil {
		return err
	}
	out.Size, out.Digest = dst.size, sum(dst.sum.Sum(nil))
	return nil
}

// deflated returns b compressed and ended in the given way.
func deflated(b []byte, end func(*flate.Writer) error) ([]byte, error) {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, deflateLevel)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := end(w); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// digester counts and hashes what goes through it.
type digester struct {
	w    io.Writer
	size int64
	sum  hash.Hash
}

func (d *digester) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	d.size += int64(n)
	_, _ = d.sum.Write(p[:n]) // a hash can't fail
	return n, err
}
