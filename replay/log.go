package replay

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/structs"
)

// entry is one row of the log store.
type entry struct {
	raft.Log
	bytes int // key and value
}

// scanner reads entries and checks what one says about the next.
type scanner struct {
	dir *Dir
	dec *codec.Decoder
	// visit is called for every entry, in order; the entry is the callee's.
	visit func(entry) error
	// problem is called for everything that is wrong; the scan goes on if it returns nil.
	problem func(*Problem) error

	next   uint64 // index that the next entry must have, 0 if any will do
	term   uint64 // of the entry before
	last   uint64 // index of the entry before
	hidden bool   // pages could not be read since the entry before
	lost   bool   // pages could not be read
	rows   int
}

var errPastEnd = errors.New("past the end")

// scan reads the entries from one index to another, 0 meaning the last. If strict is set the first one must be there.
func (d *Dir) scan(ctx context.Context, from, to uint64, strict bool, visit func(entry) error, problem func(*Problem) error) error {
	s := &scanner{dir: d, visit: visit, problem: problem, dec: codec.NewDecoderBytes([]byte{0xc0}, &codec.MsgpackHandle{})}
	if strict {
		s.next, s.last = from, from-1
	}
	err := s.walk(ctx, from, to)
	if err == nil && s.lost && s.rows == 0 {
		err = s.salvage(ctx, from, to)
	}
	if err != nil && !errors.Is(err, errPastEnd) {
		return err
	}
	if d.torn() && !s.lost {
		return problem(&Problem{Kind: KindTorn, Index: s.last, What: fmt.Sprintf(
			"%s was cut off: it has %d of %d bytes; all entries found are whole, whether others followed is not known", d.path, d.file.Size(), d.file.Extent())})
	}
	return nil
}

// walk takes the entries as the file's tree has them.
func (s *scanner) walk(ctx context.Context, from, to uint64) error {
	if s.dir.logs == nil {
		return s.page(s.dir.lost)
	}
	return s.dir.logs.Walk(rowKey(from), func(key, value []byte) error {
		if s.rows%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if len(key) == 8 && to > 0 && binary.BigEndian.Uint64(key) > to {
			return errPastEnd
		}
		s.rows++
		return s.row(key, value)
	}, s.page)
}

// salvage takes the entries that stand on any page that is left, for a file that has lost the root of its tree. Pages
// may be there that the tree no longer had: of entries with the same index it takes the one of the latest term.
func (s *scanner) salvage(ctx context.Context, from, to uint64) error {
	type place struct{ page, term uint64 }
	places := map[uint64]place{}
	err := s.dir.file.Leaves(func(page uint64, key, value []byte) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var log raft.Log
		if len(key) != 8 || s.decode(value, &log) != nil {
			return nil // of another bucket, or damaged
		}
		index := binary.BigEndian.Uint64(key)
		if old, twice := places[index]; index == log.Index && index >= from && (to == 0 || index <= to) && (!twice || log.Term >= old.term) {
			places[index] = place{page, log.Term}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, index := range slices.Sorted(maps.Keys(places)) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		rows, err := s.dir.file.Leaf(places[index].page)
		if err != nil {
			return err
		}
		for key, value := range rows {
			if !bytes.Equal(key, rowKey(index)) {
				continue
			}
			if err := s.row(key, value); err != nil {
				return err
			}
		}
	}
	return nil
}

func rowKey(index uint64) []byte { return binary.BigEndian.AppendUint64(nil, index) }

// page tells of a part of the file that can't be read.
func (s *scanner) page(err error) error {
	s.hidden, s.lost = true, true
	which := "entries after it"
	if s.last == 0 {
		which = "entries"
	}
	p := &Problem{Kind: KindDamaged, Index: s.last, What: fmt.Sprintf("%s in %s can't be read: %v", which, s.dir.path, err)}
	if s.dir.torn() {
		p.Kind = KindTorn
		p.What += s.dir.tornNote()
	}
	return s.problem(p)
}

func (s *scanner) row(key, value []byte) error {
	if len(key) != 8 {
		return s.problem(&Problem{Kind: KindDamaged, Index: s.last, What: fmt.Sprintf("a key of %d bytes follows it, indexes have 8", len(key))})
	}
	index := binary.BigEndian.Uint64(key)
	if s.next > 0 && index > s.next {
		what := fmt.Sprintf("entries %d to %d are missing", s.next, index-1)
		if index == s.next+1 {
			what = fmt.Sprintf("entry %d is missing", s.next)
		}
		if s.hidden {
			what += ", in the part that can't be read"
		}
		if err := s.problem(&Problem{Kind: KindGap, Index: s.next, What: what}); err != nil {
			return err
		}
	}
	s.next, s.last, s.hidden = index+1, index, false
	e := entry{bytes: len(key) + len(value)}
	if err := s.decode(value, &e.Log); err != nil {
		return s.problem(&Problem{Kind: KindDamaged, Index: index, What: fmt.Sprintf("its record can't be decoded: %v", err)})
	}
	if e.Index != index {
		return s.problem(&Problem{Kind: KindDamaged, Index: index, What: fmt.Sprintf("its record says that it is entry %d", e.Index)})
	}
	if e.Term < s.term {
		if err := s.problem(&Problem{Kind: KindUnordered, Index: index, What: fmt.Sprintf("its term is %d, that of the entry before %d", e.Term, s.term)}); err != nil {
			return err
		}
	}
	s.term = e.Term
	return s.visit(e)
}

// decode reads the log store's own encoding (wire.md §8.2). What it returns holds no bytes of the entry.
func (s *scanner) decode(value []byte, out *raft.Log) (err error) {
	n, err := structs.CheckMsgpack(value, structs.Limits{})
	if err != nil {
		return err
	}
	if n != len(value) {
		return fmt.Errorf("%w: %d of %d", structs.ErrTrailingBytes, n, len(value))
	}
	if value[0]&0xf0 != 0x80 && value[0] != 0xde && value[0] != 0xdf {
		return errors.New("it is not a msgpack map")
	}
	defer func() {
		if x := recover(); x != nil {
			err = errors.New("the msgpack decoder gave up")
		}
	}()
	s.dec.ResetBytes(value)
	if err := s.dec.Decode(out); err != nil {
		return errors.New("its fields are not those of a log entry")
	}
	return nil
}

// messageType returns what a command's first byte says.
func messageType(data []byte) structs.MessageType {
	return structs.MessageType(data[0]) &^ structs.IgnoreUnknownFlag
}

var logTypes = map[raft.LogType]string{
	raft.LogCommand: "Command", raft.LogNoop: "Noop", raft.LogAddPeerDeprecated: "AddPeer", raft.LogRemovePeerDeprecated: "RemovePeer",
	raft.LogBarrier: "Barrier", raft.LogConfiguration: "Configuration",
}

func logTypeName(t raft.LogType) string {
	if n, ok := logTypes[t]; ok {
		return n
	}
	return fmt.Sprintf("unknown(%d)", uint8(t))
}
