package replay

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/rollcall-id/rollcall/structs"
)

// Entry is a log entry for people to read. Secrets in its body are masked.
type Entry struct {
	Index       uint64
	Term        uint64
	LogType     string          // Command, Noop, Barrier, Configuration ...
	Message     string          `json:",omitempty"` // of a command: what its type is called
	MessageType *uint8          `json:",omitempty"` // of a command: the number
	AppendedAt  *time.Time      `json:",omitempty"` // by the leader's clock
	Bytes       int             // in the log
	Body        json.RawMessage `json:",omitempty"`
	Error       string          `json:",omitempty"` // why the body is not shown

	message structs.MessageType
}

// Filter says which entries are wanted. The zero value wants all.
type Filter struct {
	From, To uint64   // indexes; 0 is the first, or the last
	Types    []string // names or numbers of message types, or names of log types, in any case
}

func (f Filter) matches(e *Entry) bool {
	if len(f.Types) == 0 {
		return true
	}
	for _, t := range f.Types {
		if strings.EqualFold(t, e.LogType) || e.MessageType != nil && (strings.EqualFold(t, e.Message) || t == strconv.Itoa(int(e.message))) {
			return true
		}
	}
	return false
}

// Entries calls visit for the entries that filter wants, in order, until it fails. It tells of what is wrong with the
// log through problem, and ends if that fails. An entry that has only a body that can't be decoded has Error set.
func (d *Dir) Entries(ctx context.Context, filter Filter, visit func(*Entry) error, problem func(*Problem) error) error {
	return d.scan(ctx, filter.From, filter.To, false, func(raw entry) error {
		e := describe(raw)
		if !filter.matches(e) {
			return nil
		}
		e.decode(&raw.Log)
		return visit(e)
	}, problem)
}

// describe fills in all but the body.
func describe(raw entry) *Entry {
	e := &Entry{Index: raw.Index, Term: raw.Term, LogType: logTypeName(raw.Type), Bytes: raw.bytes}
	if !raw.AppendedAt.IsZero() {
		at := raw.AppendedAt.UTC()
		if y := at.Year(); y > 0 && y < 10000 { // what JSON can say
			e.AppendedAt = &at
		}
	}
	if raw.Type == raft.LogCommand && len(raw.Data) > 0 {
		number := raw.Data[0]
		e.MessageType, e.message = &number, messageType(raw.Data)
		e.Message = e.message.String()
	}
	return e
}

// decode fills in the body, or why there is none.
func (e *Entry) decode(log *raft.Log) {
	var err error
	switch {
	case log.Type == raft.LogConfiguration:
		var c *raft.Configuration
		if c, err = decodeConfiguration(log.Data); err == nil {
			e.Body, err = json.Marshal(serversOf(*c))
		}
	case log.Type != raft.LogCommand && len(log.Data) == 0:
	case log.Type != raft.LogCommand:
		e.Body, err = maskedJSON(log.Data)
	case len(log.Data) == 0:
		err = errors.New("the entry is empty: it has no message type")
	default:
		e.Body, err = maskedJSON(log.Data[1:])
	}
	if err != nil {
		e.Error = err.Error()
	}
}

// decodeConfiguration is raft.DecodeConfiguration for bytes that may be damaged.
func decodeConfiguration(data []byte) (c *raft.Configuration, err error) {
	if _, err := structs.CheckMsgpack(data, structs.Limits{}); err != nil {
		return nil, err
	}
	defer func() {
		if recover() != nil {
			c, err = nil, errBody
		}
	}()
	decoded := raft.DecodeConfiguration(data)
	return &decoded, nil
}

// Server is a server of a Raft configuration.
type Server struct {
	ID       string
	Address  string
	Suffrage string // Voter, Nonvoter or Staging
}

func serversOf(c raft.Configuration) []Server {
	list := make([]Server, 0, len(c.Servers))
	for _, s := range c.Servers {
		list = append(list, Server{ID: string(s.ID), Address: string(s.Address), Suffrage: s.Suffrage.String()})
	}
	return list
}
