package replay

import (
	"cmp"
	"context"
	"encoding/binary"
	"path/filepath"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/structs"
)

// maxProblems is how many problems a report lists; the rest is counted.
const maxProblems = 100

// Range is a run of entries without a gap.
type Range struct{ First, Last uint64 }

// TermRange is the entries of one term.
type TermRange struct {
	Term, First, Last, Entries uint64
}

// Count is how many log entries, or records of a snapshot, there are of one type.
type Count struct {
	Type    string
	Number  uint8
	Entries uint64
	Bytes   uint64 `json:",omitempty"` // not known of entries that were replayed
}

// Info describes a data directory without applying anything.
type Info struct {
	Path       string
	ServerID   string `json:",omitempty"`
	FileBytes  int64
	EntryBytes uint64 // of all entries together
	Entries    uint64
	Ranges     []Range
	Terms      []TermRange

	CurrentTerm  uint64
	LastVoteTerm uint64
	LastVoteCand string `json:",omitempty"`

	ConfigurationIndex uint64
	Configuration      []Server // of the latest that log or snapshots have, committed or not

	LogTypes     []Count
	MessageTypes []Count
	Snapshots    []*Snapshot // newest first
	Problems     []*Problem
	MoreProblems int `json:",omitempty"` // that are not listed
}

// Info reads the whole log and all snapshots. Only ctx makes it fail, or a folder that can't be read: what is wrong
// with the content is in Problems.
func (d *Dir) Info(ctx context.Context) (*Info, error) {
	snapshots, err := d.Snapshots(ctx)
	if err != nil {
		return nil, err
	}
	i := &Info{Path: d.path, FileBytes: d.file.Size(), Snapshots: snapshots, ServerID: d.readSmall(filepath.Join("..", "node-id"))}
	d.readVotes(i)
	for _, s := range snapshots {
		if s.meta.ConfigurationIndex > i.ConfigurationIndex {
			i.ConfigurationIndex, i.Configuration = s.meta.ConfigurationIndex, serversOf(s.meta.Raft().Configuration)
		}
	}
	var logTypes, messages [256]Count
	err = d.scan(ctx, 0, 0, false, func(e entry) error {
		i.add(&e)
		count(&logTypes[e.Type], e.bytes)
		if e.Type == raft.LogCommand && len(e.Data) > 0 {
			count(&messages[messageType(e.Data)], e.bytes)
		}
		return nil
	}, i.problem)
	if err != nil {
		return nil, err
	}
	i.LogTypes = named(logTypes[:], func(n uint8) string { return logTypeName(raft.LogType(n)) })
	i.MessageTypes = named(messages[:], func(n uint8) string { return structs.MessageType(n).String() })
	return i, nil
}

func (i *Info) problem(p *Problem) error {
	if len(i.Problems) < maxProblems {
		i.Problems = append(i.Problems, p)
	} else {
		i.MoreProblems++
	}
	return nil
}

func (i *Info) add(e *entry) {
	i.Entries++
	i.EntryBytes += uint64(e.bytes)
	if n := len(i.Ranges); n > 0 && i.Ranges[n-1].Last+1 == e.Index {
		i.Ranges[n-1].Last = e.Index
	} else {
		i.Ranges = append(i.Ranges, Range{e.Index, e.Index})
	}
	n := len(i.Terms)
	if n == 0 || i.Terms[n-1].Term != e.Term {
		i.Terms = append(i.Terms, TermRange{Term: e.Term, First: e.Index})
		n++
	}
	i.Terms[n-1].Last = e.Index
	i.Terms[n-1].Entries++
	if e.Type == raft.LogConfiguration && e.Index > i.ConfigurationIndex {
		if c, err := decodeConfiguration(e.Data); err == nil {
			i.ConfigurationIndex, i.Configuration = e.Index, serversOf(*c)
		}
	}
}

func count(c *Count, bytes int) {
	c.Entries++
	c.Bytes += uint64(bytes)
}

// named returns the counts that are not zero, the most frequent type first.
func named(counts []Count, name func(uint8) string) []Count {
	var list []Count
	for n, c := range counts {
		if c.Entries > 0 {
			c.Number, c.Type = uint8(n), name(uint8(n))
			list = append(list, c)
		}
	}
	slices.SortStableFunc(list, func(a, b Count) int { return -cmp.Compare(a.Entries, b.Entries) })
	return list
}

// readVotes reads term and vote as far as they can be.
func (d *Dir) readVotes(i *Info) {
	if d.conf == nil {
		return
	}
	number := func(v []byte) uint64 {
		if len(v) != 8 {
			return 0
		}
		return binary.BigEndian.Uint64(v)
	}
	err := d.conf.Walk(nil, func(key, value []byte) error {
		switch string(key) {
		case "CurrentTerm":
			i.CurrentTerm = number(value)
		case "LastVoteTerm":
			i.LastVoteTerm = number(value)
		case "LastVoteCand":
			i.LastVoteCand = string(value)
		}
		return nil
	}, nil)
	if err != nil {
		_ = i.problem(&Problem{Kind: KindDamaged, What: "term and vote can't be read: " + err.Error()}) // never fails
	}
}
