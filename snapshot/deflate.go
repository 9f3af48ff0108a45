package snapshot

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"hash"
	"hash/crc32"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
)

const (
	// deflateChunk is how many bytes are compressed by themselves. It must not depend on the machine: it shows in
	// the bytes of the archive.
	deflateChunk = 1 << 20
	// deflateLevel: higher levels save a tenth of the size and take three times as long.
	deflateLevel = flate.BestSpeed
	// maxDeflaters bounds the memory of a deflater, at about 4 MiB each.
	maxDeflaters = 8
)

// deflater compresses what is written to it in chunks, several at a time, and writes the pieces in order. The pieces
// are byte-aligned and refer to nothing before them, so they can stand in the middle of any deflate stream. Which
// bytes come out depends only on those that went in. Close must be called.
type deflater struct {
	jobs  chan *deflateJob // to the workers
	order chan *deflateJob // to the collector, in the order of the chunks
	free  chan *deflateJob
	cur   *deflateJob
	wg    sync.WaitGroup
	err   atomic.Pointer[error]

	// Set by the collector, to be read after Close.
	size    int64 // bytes in
	crc     uint32
	sum     hash.Hash
	outSize int64 // bytes out
	outCRC  uint32
}

type deflateJob struct {
	in   []byte
	out  bytes.Buffer
	err  error
	done chan struct{}
}

func newDeflater(dst io.Writer) *deflater {
	workers := min(runtime.GOMAXPROCS(0), maxDeflaters)
	d := &deflater{
		jobs: make(chan *deflateJob, workers+1), order: make(chan *deflateJob, workers+1),
		free: make(chan *deflateJob, workers+1), sum: sha256.New(),
	}
	for range workers + 1 {
		d.free <- &deflateJob{done: make(chan struct{}, 1)}
	}
	for range workers {
		d.wg.Go(d.work)
	}
	d.wg.Go(func() { d.collect(dst) })
	return d
}

func (d *deflater) work() {
	w, err := flate.NewWriter(io.Discard, deflateLevel)
	for job := range d.jobs {
		if job.err = err; err == nil {
			job.out.Reset()
			w.Reset(&job.out)
			if _, job.err = w.Write(job.in); job.err == nil {
				job.err = w.Flush()
			}
		}
		job.done <- struct{}{}
	}
}

func (d *deflater) collect(dst io.Writer) {
	for job := range d.order {
		d.size += int64(len(job.in))
		d.crc = crc32.Update(d.crc, crc32.IEEETable, job.in)
		_, _ = d.sum.Write(job.in) // a hash can't fail
		<-job.done
		err := job.err
		if err == nil && d.err.Load() == nil {
			d.outSize += int64(job.out.Len())
			d.outCRC = crc32.Update(d.outCRC, crc32.IEEETable, job.out.Bytes())
			_, err = dst.Write(job.out.Bytes())
		}
		if err != nil {
			d.err.CompareAndSwap(nil, &err)
		}
		d.free <- job
	}
}

// Write takes p over. It returns the error of an earlier piece.
func (d *deflater) Write(p []byte) (n int, err error) {
	for n < len(p) {
		if err := d.err.Load(); err != nil {
			return n, *err
		}
		if d.cur == nil {
			d.cur = <-d.free
			if d.cur.in == nil {
				d.cur.in = make([]byte, 0, deflateChunk)
			}
			d.cur.in = d.cur.in[:0]
		}
		m := min(len(p)-n, deflateChunk-len(d.cur.in))
		d.cur.in = append(d.cur.in, p[n:n+m]...)
		if n += m; len(d.cur.in) == deflateChunk {
			d.send()
		}
	}
	return n, nil
}

func (d *deflater) send() {
	d.order <- d.cur
	d.jobs <- d.cur
	d.cur = nil
}

// Close waits until everything is written and returns the first error.
func (d *deflater) Close() error {
	if d.cur != nil && len(d.cur.in) > 0 {
		d.send()
	}
	close(d.order)
	close(d.jobs)
	d.wg.Wait()
	if err := d.err.Load(); err != nil {
		return *err
	}
	return nil
}
