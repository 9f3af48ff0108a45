package structs

import (
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// DefaultMaxDepth is how deep arrays and maps may nest in anything this system decodes. Real requests and
// records stay under 16; the bound keeps hostile input from growing a goroutine's stack.
const DefaultMaxDepth = 64

// maxScanDepth is the size of the scanner's fixed stack, so that scanning allocates nothing.
const maxScanDepth = 128

// MsgpackHandle holds the codec options of RPC bodies, Raft log entries and snapshot records (wire.md §1.4).
// Changing any of them changes bytes on the wire and on disk. It is safe for concurrent use.
//
// Strings are not interned: the library's table lives as long as the decoder, decoders are pooled, and
// the keys that peers send would then stay in memory for ever.
var MsgpackHandle = newHandle()

// CanonicalHandle is MsgpackHandle with the keys of Go maps written in sorted order, for bytes that must be equal
// whenever the values are (snapshots, digests). Readers can't tell the two apart.
var CanonicalHandle = func() *codec.MsgpackHandle {
	h := newHandle()
	h.Canonical = true
	return h
}()

func newHandle() *codec.MsgpackHandle {
	h := &codec.MsgpackHandle{}
	h.RawToString = true
	h.BasicHandle.TimeNotBuiltin = true
	h.MapType = reflect.TypeOf(map[string]any(nil))
	h.TypeInfos = codec.NewTypeInfos([]string{"codec"})
	h.WriteExt = false
	h.Raw = true                     // codec.Raw fields are written verbatim
	h.MaxDepth = DefaultMaxDepth + 2 // the library counts empty containers, and refuses the level named here
	return h
}

var encoders = sync.Pool{New: func() any { return &pooledEncoder{enc: codec.NewEncoderBytes(new([]byte), MsgpackHandle)} }}

type pooledEncoder struct {
	enc *codec.Encoder
	buf []byte
}

// maxPooledBuffer is the largest scratch buffer kept for reuse; a rare huge message must not pin its size for ever.
const maxPooledBuffer = 1 << 20

var decoders = sync.Pool{New: func() any { return codec.NewDecoderBytes([]byte{0xc0}, MsgpackHandle) }}

// Encode returns the Raft command for msg: the message type's byte, then msg as msgpack.
func Encode(t MessageType, msg any) ([]byte, error) {
	return AppendEncode([]byte{byte(t)}, msg)
}

// EncodeBytes returns msg as msgpack.
func EncodeBytes(msg any) ([]byte, error) {
	return AppendEncode(nil, msg)
}

// AppendEncode appends msg as msgpack to dst and returns the longer slice. A codec.Raw is appended as it is.
// On an error dst's contents up to its length are unchanged.
func AppendEncode(dst []byte, msg any) ([]byte, error) {
	if raw, ok := msg.(codec.Raw); ok && len(raw) > 0 {
		return append(dst, raw...), nil
	}
	if n, ok := msg.(*Node); ok && n != nil {
		out, err := n.AppendMsgpack(dst)
		if err != nil {
			return dst, fmt.Errorf("encode %T: %w", msg, err)
		}
		return out, nil
	}
	p := encoders.Get().(*pooledEncoder)
	out := p.buf
	if out == nil {
		out = make([]byte, 0, 1024)
	}
	if err := encodeInto(p.enc, &out, msg); err != nil {
		return dst, fmt.Errorf("encode %T: %w", msg, err)
	}
	if dst == nil {
		dst = make([]byte, 0, len(out))
	}
	dst = append(dst, out...)
	if cap(out) <= maxPooledBuffer {
		p.buf = out[:0]
	} else {
		p.buf = nil
	}
	encoders.Put(p)
	return dst, nil
}

// encodeInto turns a panic of the library, or of a value's own marshaller, into an error. An encoder that failed is
// dropped by its caller, not pooled: its state is unknown.
func encodeInto(enc *codec.Encoder, out *[]byte, msg any) (err error) {
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("msgpack encoder: %v", x)
		}
	}()
	enc.ResetBytes(out)
	return enc.Encode(msg)
}

// Decode reads buf, which must hold exactly one msgpack value, into the pointer out. Keys that out has no field for are skipped
// and missing ones leave their fields alone. Nothing in out refers to buf afterwards. It never panics.
func Decode(buf []byte, out any) error {
	if n, ok := out.(*Node); ok && n != nil && n.unpack(buf) {
		return nil
	}
	n, err := CheckMsgpack(buf, Limits{})
	if err != nil {
		return fmt.Errorf("decode %T: %w", out, err)
	}
	if n != len(buf) {
		return fmt.Errorf("decode %T: %w: value of %d bytes in a buffer of %d", out, ErrTrailingBytes, n, len(buf))
	}
	if raw, ok := out.(*codec.Raw); ok && raw != nil {
		*raw = append(make(codec.Raw, 0, len(buf)), buf...)
		return nil
	}
	return decodeChecked(buf, out)
}

// decodeChecked reads what is known to be exactly one well-formed value.
func decodeChecked(buf []byte, out any) error {
	d := decoders.Get().(*codec.Decoder)
	if err := decodeFrom(d, buf, out); err != nil {
		return fmt.Errorf("decode %T: %w", out, err)
	}
	d.ResetBytes(emptyInput) // let go of the caller's buffer
	decoders.Put(d)
	return nil
}

var emptyInput = []byte{}

func decodeFrom(d *codec.Decoder, buf []byte, out any) (err error) {
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("msgpack decoder: %v", x)
		}
	}()
	d.ResetBytes(buf)
	if err := d.Decode(out); err != nil {
		return err
	}
	if n := d.NumBytesRead(); n != len(buf) {
		return fmt.Errorf("%w: %d of %d bytes used", ErrTrailingBytes, n, len(buf))
	}
	return nil
}

// What CheckMsgpack and MsgpackScanner find wrong; the input is to be refused, trying again does not help.
var (
	// ErrTruncated: the value claims more bytes than there are.
	ErrTruncated = errors.New("msgpack value is cut off")
	// ErrTooLarge: the value is, or claims to be, longer than Limits.MaxBytes.
	ErrTooLarge = errors.New("msgpack value exceeds the size limit")
	// ErrTooDeep: arrays and maps nest deeper than Limits.MaxDepth.
	ErrTooDeep = errors.New("msgpack value nests too deeply")
	// ErrTooManyValues: the value holds more than Limits.MaxValues values.
	ErrTooManyValues = errors.New("msgpack value holds too many values")
	// ErrBadByte: a byte that can't start a value: 0xc1, or an extension without data, which the library
	// would merge with the value after it.
	ErrBadByte = errors.New("msgpack value has an invalid lead byte")
	// ErrTrailingBytes: Decode was given more than one value.
	ErrTrailingBytes = errors.New("msgpack value is followed by other bytes")
)

// Limits bound one msgpack value.
type Limits struct {
	MaxBytes  int // longest encoding in bytes; 0 or less: no limit of its own
	MaxDepth  int // deepest nesting of arrays and maps; 0 or less: DefaultMaxDepth; at most 128
	MaxValues int // most values, keys included; 0 or less: no limit of its own
}

// CheckMsgpack returns the length of the one value at the start of buf without decoding it. It refuses what breaks
// the limits or claims more than buf holds. It allocates only for errors and takes time linear in the value's length.
func CheckMsgpack(buf []byte, limits Limits) (n int, err error) {
	var s MsgpackScanner
	s.Reset(limits)
	done, err := s.Scan(buf)
	if err != nil {
		return 0, err
	}
	if !done {
		return 0, fmt.Errorf("%w: at least %d bytes needed, %d given", ErrTruncated, s.Need(), len(buf))
	}
	return s.Need(), nil
}

// MsgpackScanner finds the end of one msgpack value that arrives piece by piece. Reset before use.
type MsgpackScanner struct {
	limits  Limits
	pos     int // offset of the next unread lead byte; may lie beyond what has arrived
	need    int
	values  int
	depth   int
	pending uint64                   // values still to come, at all levels
	remain  [maxScanDepth + 1]uint64 // values still to come at each open level
}

// Reset prepares the scanner for a new value.
func (s *MsgpackScanner) Reset(limits Limits) {
	if limits.MaxDepth <= 0 {
		limits.MaxDepth = DefaultMaxDepth
	}
	limits.MaxDepth = min(limits.MaxDepth, maxScanDepth)
	s.limits = limits
	s.pos, s.need, s.values, s.depth = 0, 1, 0, 0
	s.pending, s.remain[0] = 1, 1
}

// Need is how many bytes, counted from the value's start, have to be there before scanning gets further. Once
// Scan has reported done it is the value's length.
func (s *MsgpackScanner) Need() int { return s.need }

// Values is how many values have been found so far, keys included.
func (s *MsgpackScanner) Values() int { return s.values }

// Scan goes on scanning. buf is everything of the value that has arrived so far, from its first byte, and may
// hold more after it. done means that the whole value is buf[:Need()]. After an error the scanner needs a Reset.
func (s *MsgpackScanner) Scan(buf []byte) (done bool, err error) {
	for s.pending > 0 {
		if s.pos >= len(buf) {
			s.need = s.pos + 1
			return false, nil
		}
		head, payload, children := leadByte(buf[s.pos:])
		if head == 0 {
			return false, fmt.Errorf("%w: 0x%02x at offset %d", ErrBadByte, buf[s.pos], s.pos)
		}
		if head > len(buf)-s.pos {
			s.need = s.pos + head
			return false, nil
		}
		if err := s.take(head+payload, children); err != nil {
			return false, err
		}
	}
	s.need = s.pos
	return s.pos <= len(buf), nil
}

// take accounts for one value of size bytes that opens a level of so many children. Every value still to come is
// at least one byte long, so a claimed count is refused before its values arrive.
func (s *MsgpackScanner) take(size int, children uint64) error {
	at := s.pos
	s.pos += size
	s.values++
	s.pending += children - 1
	s.remain[s.depth]--
	if m := s.limits.MaxBytes; m > 0 && (s.pos > m || s.pending > uint64(m-s.pos)) {
		return fmt.Errorf("%w of %d bytes at offset %d", ErrTooLarge, m, at)
	}
	if m := s.limits.MaxValues; m > 0 && (s.values > m || s.pending > uint64(m-s.values)) {
		return fmt.Errorf("%w: more than %d at offset %d", ErrTooManyValues, m, at)
	}
	if children == 0 {
		for s.depth > 0 && s.remain[s.depth] == 0 {
			s.depth--
		}
		return nil
	}
	if s.depth++; s.depth > s.limits.MaxDepth {
		return fmt.Errorf("%w: more than %d levels at offset %d", ErrTooDeep, s.limits.MaxDepth, at)
	}
	s.remain[s.depth] = children
	return nil
}

// leadByte reads the start of a value: head is the length of its lead byte and length field, payload how many
// bytes follow that are no values, children how many values it holds. If b ends within the head, payload and
// children are not known yet and 0. head is 0 if b can't start a value.
func leadByte(b []byte) (head, payload int, children uint64) {
	c := b[0]
	switch {
	case c <= 0x7f, c >= 0xe0, c == 0xc0, c == 0xc2, c == 0xc3: // fixint, nil, bool
		return 1, 0, 0
	case c <= 0x8f: // fixmap
		return 1, 0, 2 * uint64(c&0x0f)
	case c <= 0x9f: // fixarray
		return 1, 0, uint64(c & 0x0f)
	case c <= 0xbf: // fixstr
		return 1, int(c & 0x1f), 0
	case c == 0xc1:
		return 0, 0, 0
	case c >= 0xca && c <= 0xd3: // float, double, uint8-64, int8-64
		return 1, scalarSize[c-0xca], 0
	case c >= 0xd4 && c <= 0xd8: // fixext: a tag, then 1 to 16 bytes
		return 2, 1 << (c - 0xd4), 0
	}
	k := kinds[c-0xc4]
	if len(b) < 1+k.width {
		return 1 + k.width + k.tag, 0, 0
	}
	var n int
	for _, x := range b[1 : 1+k.width] {
		n = n<<8 | int(x)
	}
	switch {
	case k.perItem > 0:
		return 1 + k.width, 0, k.perItem * uint64(n)
	case k.tag > 0 && n == 0:
		return 0, 0, 0
	}
	return 1 + k.width + k.tag, n, 0
}

var scalarSize = [...]int{4, 8, 1, 2, 4, 8, 1, 2, 4, 8}

// kinds describes the lead bytes from 0xc4 that carry a length field: its width, bytes of extension tag after it,
// and values for each item of a container.
var kinds = [...]struct {
	width, tag int
	perItem    uint64
}{
	{width: 1}, {width: 2}, {width: 4}, // 0xc4: bin
	{width: 1, tag: 1}, {width: 2, tag: 1}, {width: 4, tag: 1}, // 0xc7: ext
	{}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, // 0xca to 0xd8: no length field
	{width: 1}, {width: 2}, {width: 4}, // 0xd9: str
	{width: 2, perItem: 1}, {width: 4, perItem: 1}, // 0xdc: array
	{width: 2, perItem: 2}, {width: 4, perItem: 2}, // 0xde: map
}
