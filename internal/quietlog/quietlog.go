// Package quietlog writes log lines that peers can provoke: not many a second, however many they provoke, and with a
// count of those left out.
package quietlog

import (
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/time/rate"
)

const (
	// DefaultRate is how many lines a second are written.
	DefaultRate = 10
	// burstSeconds is how many seconds' lines may come at once.
	burstSeconds = 5
)

// Log is one stream of such lines. It is safe for concurrent use.
type Log struct {
	log     hclog.Logger
	limit   *rate.Limiter
	skipped atomic.Int64
}

// New returns a Log of at most perSecond lines a second; 0 or less means DefaultRate.
func New(log hclog.Logger, perSecond int) *Log {
	if perSecond <= 0 {
		perSecond = DefaultRate
	}
	return &Log{log: log, limit: rate.NewLimiter(rate.Limit(perSecond), perSecond*burstSeconds)}
}

// Warn writes the line or counts it. The next line that is written says how many there were.
func (l *Log) Warn(msg string, args ...any) {
	if !l.limit.Allow() {
		l.skipped.Add(1)
		return
	}
	if n := l.skipped.Swap(0); n > 0 {
		args = append(args[:len(args):len(args)], "others_not_logged", n)
	}
	l.log.Warn(msg, args...)
}
