package wire

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// maxPart bounds a string, list or map in an answer.
const maxPart = 16 << 20

// Read reads one value. Strings and bytes are both string, as the wire does not tell them apart; numbers are int64, uint64 (from
// unsigned forms) or float64; the rest is as Append takes it. What peers never write is an error: str8, and extensions.
func Read(r *bufio.Reader) (any, error) {
	head, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	switch {
	case head <= 0x7f:
		return int64(head), nil
	case head >= 0xe0:
		return int64(int8(head)), nil
	case head&0xe0 == 0xa0:
		return readString(r, uint64(head&0x1f))
	case head&0xf0 == 0x90:
		return readList(r, uint64(head&0x0f))
	case head&0xf0 == 0x80:
		return readMap(r, uint64(head&0x0f))
	}
	switch head {
	case 0xc0:
		return nil, nil
	case 0xc2, 0xc3:
		return head == 0xc3, nil
	case 0xca:
		n, err := readNumber(r, 4)
		return float64(math.Float32frombits(uint32(n))), err
	case 0xcb:
		n, err := readNumber(r, 8)
		return math.Float64frombits(n), err
	case 0xcc, 0xcd, 0xce, 0xcf:
		return readNumber(r, 1<<(head-0xcc))
	case 0xd0:
		n, err := readNumber(r, 1)
		return int64(int8(n)), err
	case 0xd1:
		n, err := readNumber(r, 2)
		return int64(int16(n)), err
	case 0xd2:
		n, err := readNumber(r, 4)
		return int64(int32(n)), err
	case 0xd3:
		n, err := readNumber(r, 8)
		return int64(n), err
	}
	return readLong(r, head)
}

// readLong reads what has its length in 2 or 4 bytes.
func readLong(r *bufio.Reader, head byte) (any, error) {
	read := map[byte]func(*bufio.Reader, uint64) (any, error){0xda: readString, 0xdc: readList, 0xde: readMap}[head&^1]
	if read == nil {
		return nil, fmt.Errorf("wire: peers never write the form %#x", head)
	}
	n, err := readNumber(r, 2<<(head&1))
	if err != nil {
		return nil, err
	}
	return read(r, n)
}

func readNumber(r *bufio.Reader, size int) (uint64, error) {
	var b [8]byte
	if _, err := io.ReadFull(r, b[8-size:]); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(b[:]), nil
}

func readString(r *bufio.Reader, n uint64) (any, error) {
	if n > maxPart {
		return nil, fmt.Errorf("wire: a string of %d bytes", n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	return string(b), nil
}

func readList(r *bufio.Reader, n uint64) (any, error) {
	list := []any{}
	for range n {
		v, err := Read(r)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

func readMap(r *bufio.Reader, n uint64) (any, error) {
	m := Map{}
	for range n {
		k, err := Read(r)
		if err != nil {
			return nil, err
		}
		key, ok := k.(string)
		if !ok {
			return nil, fmt.Errorf("wire: the key of a map is a %T", k)
		}
		if m[key], err = Read(r); err != nil {
			return nil, err
		}
	}
	return m, nil
}
