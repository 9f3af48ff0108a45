package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

// chunkConn is a connection that delivers its chunks one read at a time, and then ends.
type chunkConn struct {
	net.Conn
	chunks [][]byte
	end    error
}

func (c *chunkConn) Read(p []byte) (int, error) {
	if len(c.chunks) == 0 {
		if c.end != nil {
			return 0, c.end
		}
		return 0, io.EOF
	}
	n := copy(p, c.chunks[0])
	if c.chunks[0] = c.chunks[0][n:]; len(c.chunks[0]) == 0 {
		c.chunks = c.chunks[1:]
	}
	return n, nil
}

func (c *chunkConn) SetReadDeadline(time.Time) error { return nil }

func inChunks(b []byte, size int) *chunkConn {
	c := &chunkConn{}
	for len(b) > 0 {
		n := min(size, len(b))
		c.chunks = append(c.chunks, b[:n])
		b = b[n:]
	}
	return c
}

func TestReaderFindsTheSameValuesHoweverTheyArrive(t *testing.T) {
	big, err := structs.EncodeBytes(strings.Repeat("b", 200<<10))
	if err != nil {
		t.Fatal(err)
	}
	want := [][]byte{{0x01}, []byte("\xa5hello"), []byte("\x82\xa1a\x92\x01\x02\xa1b\xc0"), big, {0xc0}, []byte("\xa3end")}
	for _, size := range []int{1, 2, 3, 7, 100, 4096, 1 << 20} {
		r := NewReader(inChunks(bytes.Join(want, nil), size), time.Second)
		for i, w := range want {
			got, err := r.ReadValue("value", structs.Limits{})
			if err != nil {
				t.Fatalf("chunks of %d, value %d: %v", size, i, err)
			}
			if len(got) > copiedBody {
				got, _ = r.give(got)
			}
			if !bytes.Equal(got, w) {
				t.Fatalf("chunks of %d, value %d is wrong", size, i)
			}
		}
		if _, err := r.ReadValue("value", structs.Limits{}); err != io.EOF {
			t.Errorf("chunks of %d: %v at the end, want io.EOF", size, err)
		}
	}
}

func TestReaderNamesWhatIsWrong(t *testing.T) {
	cases := []struct {
		name   string
		in     string
		limits structs.Limits
		want   error
		text   string
	}{
		{"cut off", "\xa5hel", structs.Limits{}, errFrameTruncated, "frame: thing: connection ended inside it"},
		{"reserved byte", "\xc1", structs.Limits{}, structs.ErrBadByte, "0xc1 at offset 0"},
		{"a lie about its length", "\xdb\xff\xff\xff\xff", structs.Limits{MaxBytes: 1 << 20}, structs.ErrTooLarge, "1048576 bytes"},
		{"too deep", strings.Repeat("\x91", 65), structs.Limits{}, structs.ErrTooDeep, "64 levels"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := NewReader(inChunks([]byte(c.in), 100), 0).ReadValue("thing", c.limits)
			var fe *FrameError
			if !errors.As(err, &fe) || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("a connection's own error is passed on", func(t *testing.T) {
		_, err := NewReader(&chunkConn{end: net.ErrClosed}, 0).ReadValue("thing", structs.Limits{})
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}

func TestReaderSpendsMemoryOnlyOnBytesThatArrived(t *testing.T) {
	claim := binary.BigEndian.AppendUint32([]byte{0xdb}, 1<<30)
	r := NewReader(inChunks(append(claim, make([]byte, 1000)...), 100), 0)
	if _, err := r.ReadValue("thing", structs.Limits{}); !errors.Is(err, errFrameTruncated) {
		t.Fatal(err)
	}
	if cap(r.buf) > readBufferSize {
		t.Errorf("buffer of %d bytes for 1005 that arrived", cap(r.buf))
	}
}

func TestReaderLetsGoOfALargeBuffer(t *testing.T) {
	big, err := structs.EncodeBytes(strings.Repeat("b", 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	r := NewReader(&chunkConn{chunks: [][]byte{big, {0x01}}}, 0)
	for range 2 {
		if _, err := r.ReadValue("thing", structs.Limits{}); err != nil {
			t.Fatal(err)
		}
	}
	if cap(r.buf) > keptReadBuffer {
		t.Errorf("still holds %d bytes", cap(r.buf))
	}
}

func TestHeadersHaveTheBytesOfTheWire(t *testing.T) {
	if got, want := string(AppendHeader(nil, Header{1, "Status.Ping"})), "\x82\xa3Seq\x01\xadServiceMethod\xabStatus.Ping"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := string(AppendResponseHeader(nil, ResponseHeader{"", 1, "Status.Ping"})), "\x83\xa5Error\xa0\xa3Seq\x01\xadServiceMethod\xabStatus.Ping"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, seq := range []uint64{0, 127, 128, 255, 256, 65535, 65536, 1<<32 - 1, 1 << 32, ^uint64(0)} {
		for _, n := range []int{0, 31, 32, 255, 256, 65535, 65536} {
			h := ResponseHeader{Seq: seq, Error: strings.Repeat("e", n), ServiceMethod: "A.B"}
			want, err := structs.EncodeBytes(&h)
			if err != nil {
				t.Fatal(err)
			}
			if got := AppendResponseHeader(nil, h); !bytes.Equal(got, want) {
				t.Fatalf("seq %d, error of %d bytes: differs from the library", seq, n)
			}
			back, err := ParseResponseHeader(want)
			if d := cmp.Diff(h, back); err != nil || d != "" {
				t.Fatalf("seq %d, error of %d bytes: %v %s", seq, n, err, d)
			}
		}
	}
}

func TestHeadersAreReadInEveryForm(t *testing.T) {
	want := Header{Seq: 7, ServiceMethod: "A.B"}
	cases := []struct{ name, in string }{
		{"as written", "\x82\xa3Seq\x07\xadServiceMethod\xa3A.B"},
		{"the other order", "\x82\xadServiceMethod\xa3A.B\xa3Seq\x07"},
		{"an unknown key", "\x83\xa3New\x92\x01\x81\xa1x\xc0\xa3Seq\x07\xadServiceMethod\xa3A.B"},
		{"str8 and bin8", "\x82\xd9\x03Seq\x07\xc4\x0dServiceMethod\xc4\x03A.B"},
		{"str16 and bin32", "\x82\xda\x00\x03Seq\x07\xadServiceMethod\xc6\x00\x00\x00\x03A.B"},
		{"map16", "\xde\x00\x02\xa3Seq\x07\xadServiceMethod\xa3A.B"},
		{"map32 and a uint64", "\xdf\x00\x00\x00\x02\xa3Seq\xcf\x00\x00\x00\x00\x00\x00\x00\x07\xadServiceMethod\xa3A.B"},
		{"a signed number", "\x82\xa3Seq\xd1\x00\x07\xadServiceMethod\xa3A.B"},
		{"an array of the fields", "\x92\x07\xa3A.B"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseHeader([]byte(c.in))
			if d := cmp.Diff(want, got); err != nil || d != "" {
				t.Errorf("%v %s", err, d)
			}
		})
	}
	for _, bad := range []string{"\x05", "\x81\xa3Seq\xff", "\x81\xa3Seq\xa1x", "\x82\xa3Seq\x07", "\xa1x"} {
		if h, err := ParseHeader([]byte(bad)); err == nil {
			t.Errorf("%q read as %+v", bad, h)
		}
	}
}

// The time that one value had must not run out on the next, which may begin whenever it likes: events can be hours apart.
func TestATimeThatAValueHadIsOverWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		go func() {
			for _, part := range []string{"\xa5he", "llo"} { // in pieces, so that there is a time to keep
				_, _ = far.Write([]byte(part))
			}
			time.Sleep(time.Hour)
			_, _ = far.Write([]byte("\xa3end"))
			_, _ = far.Write([]byte("\xa5ha")) // and nothing more
		}()
		r := NewReader(near, time.Minute)
		for _, want := range []string{"\xa5hello", "\xa3end"} {
			if got, err := r.ReadValue("value", structs.Limits{}); err != nil || string(got) != want {
				t.Fatalf("read %q, %v, want %q", got, err, want)
			}
		}
		if got, err := r.ReadValue("value", structs.Limits{}); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("half a value: %q, %v", got, err)
		}
	})
}

// FuzzHeader: the fast path agrees with the codec library wherever it takes a header on.
func FuzzHeader(f *testing.F) {
	f.Add([]byte("\x82\xa3Seq\x07\xadServiceMethod\xa3A.B"))
	f.Add([]byte("\x83\xa5Error\xa1x\xa3Seq\xcd\x01\x00\xadServiceMethod\xd9\x03A.B"))
	f.Add([]byte("\xde\x00\x01\xa3Seq\xd3\x80\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("\xc0"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := structs.CheckMsgpack(b, headerLimits); err != nil || n != len(b) {
			return // never gets that far
		}
		var fields headerFields
		if !fields.parse(b) {
			return
		}
		got := ResponseHeader{Error: string(fields.err), Seq: fields.seq, ServiceMethod: string(fields.method)}
		var want ResponseHeader
		if err := structs.Decode(b, &want); err != nil {
			t.Fatalf("fast path reads %+v, the library refuses: %v", got, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
	})
}

// FuzzFrame: a stream of values read in chunks of any size gives the values that a check of the whole input finds.
func FuzzFrame(f *testing.F) {
	f.Add([]byte("\x82\xa3Seq\x07\xadServiceMethod\xa3A.B\x80\xc0"), uint8(3))
	f.Add([]byte("\xdb\xff\xff\xff\xff"), uint8(1))
	f.Add([]byte("\x91\x91\x91\xc1"), uint8(2))
	limits := structs.Limits{MaxBytes: 1 << 10, MaxDepth: 8}
	f.Fuzz(func(t *testing.T, b []byte, chunk uint8) {
		r := NewReader(inChunks(b, int(chunk)+1), 0)
		for rest := b; ; {
			n, wantErr := structs.CheckMsgpack(rest, limits)
			got, err := r.ReadValue("value", limits)
			if (err == nil) != (wantErr == nil) {
				t.Fatalf("reader says %v, check says %v", err, wantErr)
			}
			if err != nil {
				if (err == io.EOF) != (len(rest) == 0) {
					t.Fatalf("%v with %d bytes left", err, len(rest))
				}
				return
			}
			if !bytes.Equal(got, rest[:n]) {
				t.Fatalf("got %x, want %x", got, rest[:n])
			}
			rest = rest[n:]
		}
	})
}
