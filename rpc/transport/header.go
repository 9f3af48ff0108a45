package transport

import (
	"encoding/binary"
	"fmt"

	"github.com/rollcall-id/rollcall/structs"
)

// Header starts a request (wire.md §1.3).
type Header struct {
	Seq           uint64
	ServiceMethod string
}

// ResponseHeader starts a response. An empty Error means success.
type ResponseHeader struct {
	Error         string
	Seq           uint64
	ServiceMethod string
}

// streamHeader and streamAck open a streaming call (wire.md §1.10).
type streamHeader struct{ Method string }

type streamAck struct{ Error string }

// AppendHeader appends h as the codec library would write it.
func AppendHeader(b []byte, h Header) []byte {
	b = append(b, "\x82\xa3Seq"...)
	b = appendUint(b, h.Seq)
	b = append(b, "\xadServiceMethod"...)
	return appendString(b, h.ServiceMethod)
}

// AppendResponseHeader appends h as the codec library would write it.
func AppendResponseHeader(b []byte, h ResponseHeader) []byte {
	b = append(b, "\x83\xa5Error"...)
	b = appendString(b, h.Error)
	b = append(b, "\xa3Seq"...)
	b = appendUint(b, h.Seq)
	b = append(b, "\xadServiceMethod"...)
	return appendString(b, h.ServiceMethod)
}

func appendUint(b []byte, v uint64) []byte {
	switch {
	case v <= 0x7f:
		return append(b, byte(v))
	case v <= 0xff:
		return append(b, 0xcc, byte(v))
	case v <= 0xffff:
		return binary.BigEndian.AppendUint16(append(b, 0xcd), uint16(v))
	case v <= 0xffffffff:
		return binary.BigEndian.AppendUint32(append(b, 0xce), uint32(v))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xcf), v)
}

func appendString(b []byte, s string) []byte {
	switch {
	case len(s) < 32:
		b = append(b, 0xa0|byte(len(s)))
	case len(s) <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, 0xda), uint16(len(s)))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xdb), uint32(len(s)))
	}
	return append(b, s...)
}

// headerFields is what the fast path found; strings still point into the input.
type headerFields struct {
	seq         uint64
	method, err []byte
}

// ParseHeader reads a request header from b, one well-formed msgpack value. Keys come in any order, unknown ones
// are skipped, and what the codec library would accept beyond that is accepted too.
func ParseHeader(b []byte) (Header, error) {
	var f headerFields
	if f.parse(b) {
		return Header{Seq: f.seq, ServiceMethod: string(f.method)}, nil
	}
	var h Header
	if err := structs.Decode(b, &h); err != nil {
		return Header{}, &FrameError{What: "request header", Err: fmt.Errorf("%w: %w", errNoHeader, err)}
	}
	return h, nil
}

// ParseResponseHeader is ParseHeader for a response.
func ParseResponseHeader(b []byte) (ResponseHeader, error) {
	var f headerFields
	if f.parse(b) {
		return ResponseHeader{Error: string(f.err), Seq: f.seq, ServiceMethod: string(f.method)}, nil
	}
	var h ResponseHeader
	if err := structs.Decode(b, &h); err != nil {
		return ResponseHeader{}, &FrameError{What: "response header", Err: err}
	}
	return h, nil
}

// parse is the fast path; false means to leave it to the library, whatever the reason.
func (f *headerFields) parse(b []byte) bool {
	n, b, ok := mapLen(b)
	if !ok {
		return false
	}
	for range n {
		var key []byte
		if key, b, ok = takeString(b); !ok {
			return false
		}
		switch string(key) {
		case "Seq":
			f.seq, b, ok = takeUint(b)
		case "ServiceMethod":
			f.method, b, ok = takeString(b)
		case "Error":
			f.err, b, ok = takeString(b)
		default:
			size, err := structs.CheckMsgpack(b, headerLimits)
			if ok = err == nil; ok {
				b = b[size:]
			}
		}
		if !ok {
			return false
		}
	}
	return len(b) == 0
}

func mapLen(b []byte) (n int, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, b, false
	}
	if b[0]&0xf0 == 0x80 {
		return int(b[0] & 0x0f), b[1:], true
	}
	switch b[0] {
	case 0xde:
		return takeLen(b, 2)
	case 0xdf:
		return takeLen(b, 4)
	}
	return 0, b, false
}

// takeString reads any of the forms that a string may come in: fixstr, str8-32, bin8-32, nil.
func takeString(b []byte) (s, rest []byte, ok bool) {
	if len(b) == 0 {
		return nil, b, false
	}
	n := 0
	switch c := b[0]; {
	case c&0xe0 == 0xa0:
		n, b, ok = int(c&0x1f), b[1:], true
	case c == 0xd9, c == 0xc4:
		n, b, ok = takeLen(b, 1)
	case c == 0xda, c == 0xc5:
		n, b, ok = takeLen(b, 2)
	case c == 0xdb, c == 0xc6:
		n, b, ok = takeLen(b, 4)
	case c == 0xc0:
		return nil, b[1:], true
	}
	if !ok || n > len(b) {
		return nil, b, false
	}
	return b[:n], b[n:], true
}

// takeUint reads a number that is not negative in any integer form.
func takeUint(b []byte) (v uint64, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, b, false
	}
	c := b[0]
	if c <= 0x7f {
		return uint64(c), b[1:], true
	}
	if c < 0xcc || c > 0xd3 {
		return 0, b, false
	}
	size := 1 << ((c - 0xcc) & 3)
	if len(b) < 1+size {
		return 0, b, false
	}
	for _, x := range b[1 : 1+size] {
		v = v<<8 | uint64(x)
	}
	if c >= 0xd0 && v>>(8*size-1) != 0 {
		return 0, b, false // negative
	}
	return v, b[1+size:], true
}

// takeLen reads the length field of width bytes after a lead byte.
func takeLen(b []byte, width int) (n int, rest []byte, ok bool) {
	if len(b) < 1+width {
		return 0, b, false
	}
	for _, x := range b[1 : 1+width] {
		n = n<<8 | int(x)
	}
	return n, b[1+width:], true
}
