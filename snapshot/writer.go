package snapshot

import (
	"bufio"
	"fmt"
	"io"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/rollcall-id/rollcall/structs"
)

// writeBuffer is how many bytes a Writer collects before it writes them.
const writeBuffer = 256 << 10

// Writer writes a record stream. After an error it writes nothing more and returns the error again.
type Writer struct {
	out    *bufio.Writer
	enc    *codec.Encoder
	value  []byte // scratch of enc
	counts Counts
	size   int64
	err    error
}

// NewWriter returns a Writer on w that has the header in its buffer. w gets everything once Flush has returned.
func NewWriter(w io.Writer) *Writer {
	sw := &Writer{out: bufio.NewWriterSize(w, writeBuffer)}
	sw.enc = codec.NewEncoderBytes(&sw.value, structs.CanonicalHandle)
	sw.err = sw.out.WriteByte(header)
	sw.size = 1
	return sw
}

// WriteRecord encodes v, with the keys of maps sorted, and writes it as a record. v is not kept.
func (w *Writer) WriteRecord(t structs.RecordType, v any) error {
	if w.err != nil {
		return w.err
	}
	if err := w.encode(v); err != nil {
		return w.fail(t, fmt.Errorf("encode %T: %w", v, err))
	}
	return w.write(t, w.value)
}

// appender is a record that writes itself, with the keys of maps sorted.
type appender interface {
	AppendMsgpack(b []byte) ([]byte, error)
}

// encode fills w.value. It turns a panic of the library, or of a value's own marshaller, into an error.
func (w *Writer) encode(v any) (err error) {
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("msgpack encoder: %v", x)
		}
	}()
	w.value = w.value[:0]
	if a, ok := v.(appender); ok {
		w.value, err = a.AppendMsgpack(w.value)
		return err
	}
	w.enc.ResetBytes(&w.value)
	return w.enc.Encode(v)
}

// WriteRaw writes a record whose value is already encoded, as it is. It refuses what is not exactly one value.
func (w *Writer) WriteRaw(t structs.RecordType, raw []byte) error {
	if w.err != nil {
		return w.err
	}
	return w.write(t, raw)
}

func (w *Writer) write(t structs.RecordType, raw []byte) error {
	if t >= firstInvalidType {
		return w.fail(t, fmt.Errorf("%w %d", ErrBadType, uint8(t)))
	}
	n, err := structs.CheckMsgpack(raw, recordLimits(0))
	if err == nil && n != len(raw) {
		err = structs.ErrTrailingBytes
	}
	if err != nil {
		return w.fail(t, err)
	}
	if err := w.out.WriteByte(byte(t)); err != nil {
		return w.fail(t, err)
	}
	if _, err := w.out.Write(raw); err != nil {
		return w.fail(t, err)
	}
	w.counts.Add(t, len(raw))
	w.size += int64(len(raw)) + 1
	return nil
}

func (w *Writer) fail(t structs.RecordType, err error) error {
	w.err = fmt.Errorf("write snapshot record of type %s at byte %d: %w", t, w.size, err)
	return w.err
}

// Flush hands everything to the underlying writer. Without it the stream is cut off.
func (w *Writer) Flush() error {
	if w.err != nil {
		return w.err
	}
	if err := w.out.Flush(); err != nil {
		w.err = fmt.Errorf("write snapshot: %w", err)
	}
	return w.err
}

// Size is how many bytes the stream has, header included.
func (w *Writer) Size() int64 { return w.size }

// Counts returns what was written, by type number.
func (w *Writer) Counts() []Count { return w.counts.List() }
