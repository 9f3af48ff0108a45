package snapshot

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/rollcall-id/rollcall/structs"
)

// got is a record whose value outlives the Reader's buffer.
type got struct {
	Number int
	Type   structs.RecordType
	Offset int64
	Raw    string
}

// readAll reads to the end and returns what came before the error, which is nil at a proper end.
func readAll(src io.Reader, maxRecord int) (list []got, err error) {
	r := NewReaderSize(src, maxRecord)
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		list = append(list, got{rec.Number, rec.Type, rec.Offset, string(rec.Raw)})
	}
}

// stream returns a header and the given bytes after it.
func stream(parts ...string) []byte { return []byte("\x80" + strings.Join(parts, "")) }

// repeating is an endless source of one byte, after a beginning.
type repeating struct {
	head *bytes.Reader
	fill byte
	read int64
}

func (r *repeating) Read(p []byte) (int, error) {
	if n, _ := r.head.Read(p); n > 0 {
		r.read += int64(n)
		return n, nil
	}
	for i := range p {
		p[i] = r.fill
	}
	r.read += int64(len(p))
	return len(p), nil
}
