package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// metaVersion is the only version of meta.json that has a Configuration, and the only one that Raft still writes.
const metaVersion = int(raft.SnapshotVersionMax)

// maxIDBytes bounds Meta.ID; what servers write is under 60.
const maxIDBytes = 128

// Meta is meta.json of an archive (wire.md §7.1): what Raft knows about the state beside it. Its fields are in the
// order in which they are written.
type Meta struct {
	Version            int
	ID                 string // <term>-<index>-<unix ms>
	Index              uint64 // of the last entry the state includes
	Term               uint64 // of that entry
	Peers              []byte // msgpack list of addresses, for servers older than Configuration
	Configuration      Configuration
	ConfigurationIndex uint64
	Size               int64 // of state.bin, in bytes
}

// Configuration is the set of servers at the index of a snapshot.
type Configuration struct {
	Servers []Server
}

// Server is one server of a Configuration.
type Server struct {
	Suffrage int // 0 voter, 1 nonvoter, 2 staging
	ID       string
	Address  string // host:port
}

// MetaFromRaft returns what Raft says about a snapshot as meta.json has it.
func MetaFromRaft(m *raft.SnapshotMeta) Meta {
	out := Meta{
		Version: int(m.Version), ID: m.ID, Index: m.Index, Term: m.Term, Peers: bytes.Clone(m.Peers),
		ConfigurationIndex: m.ConfigurationIndex, Size: m.Size,
	}
	for _, s := range m.Configuration.Servers {
		out.Configuration.Servers = append(out.Configuration.Servers, Server{int(s.Suffrage), string(s.ID), string(s.Address)})
	}
	return out
}

// Raft returns m in the form that Raft's Restore takes.
func (m Meta) Raft() *raft.SnapshotMeta {
	out := &raft.SnapshotMeta{
		Version: raft.SnapshotVersion(m.Version), ID: m.ID, Index: m.Index, Term: m.Term, Peers: bytes.Clone(m.Peers),
		ConfigurationIndex: m.ConfigurationIndex, Size: m.Size,
	}
	for _, s := range m.Configuration.Servers {
		out.Configuration.Servers = append(out.Configuration.Servers,
			raft.Server{Suffrage: raft.ServerSuffrage(s.Suffrage), ID: raft.ServerID(s.ID), Address: raft.ServerAddress(s.Address)})
	}
	return out
}

// Created is when the snapshot was taken, in UTC, as its ID says; zero if the ID has another form.
func (m Meta) Created() time.Time {
	parts := strings.Split(m.ID, "-")
	if len(parts) != 3 {
		return time.Time{}
	}
	ms, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || ms <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// Validate reports everything that no server writes.
func (m Meta) Validate() error {
	var errs []error
	add := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	add(m.Version != metaVersion, "Version is %d, want %d", m.Version, metaVersion)
	add(m.ID == "" || len(m.ID) > maxIDBytes || strings.Trim(m.ID, idBytes) != "" || strings.Trim(m.ID, ".") == "",
		"ID %.40q is not the name of a snapshot", m.ID)
	add(m.Index == 0, "Index is 0")
	add(m.Term == 0, "Term is 0")
	add(m.Size <= 0, "Size is %d", m.Size)
	for i, s := range m.Configuration.Servers {
		add(s.Suffrage < int(raft.Voter) || s.Suffrage > int(raft.Staging), "server %d has suffrage %d", i, s.Suffrage)
	}
	return errors.Join(errs...)
}

const idBytes = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_."

// encode returns the bytes of meta.json.
func (m Meta) encode() ([]byte, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// decodeMeta reads exactly one JSON object into out. Fields that later versions may add are no error.
func decodeMeta(b []byte, out any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(out); errors.Is(err, io.EOF) {
		return errors.New("there is no JSON object")
	} else if err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("data after the JSON object at byte %d", d.InputOffset())
	}
	return nil
}

type sum = [sha256.Size]byte

// encodeSums returns the bytes of SHA256SUMS, sorted by name.
func encodeSums(meta, state sum) []byte {
	return fmt.Appendf(nil, "%x  %s\n%x  %s\n", meta, memberMeta, state, memberState)
}

// decodeSums reads SHA256SUMS: a line for each of the other members, in any order, and nothing else.
func decodeSums(b []byte) (map[string]sum, error) {
	sums := map[string]sum{}
	for line := range strings.Lines(string(b)) {
		text, whole := strings.CutSuffix(line, "\n")
		digits, name, ok := strings.Cut(text, "  ")
		raw, err := hex.DecodeString(digits)
		switch _, twice := sums[name]; {
		case !whole || !ok || err != nil || len(raw) != sha256.Size:
			return nil, fmt.Errorf("line %d is not a SHA-256 sum, two spaces and a name", len(sums)+1)
		case name != memberMeta && name != memberState:
			return nil, fmt.Errorf("line %d is for %.40q, which is no member that has a sum", len(sums)+1, name)
		case twice:
			return nil, fmt.Errorf("two sums of %s", name)
		}
		sums[name] = sum(raw)
	}
	return sums, nil
}
