package snapshotagent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	extension  = ".snap"
	timeFormat = "20060102T150405Z" // sorts as time does
)

// entry is a stored snapshot.
type entry struct {
	name  string
	taken time.Time
	index uint64
}

func validName(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
}

func (a *Agent) name(at time.Time, index uint64) string {
	return fmt.Sprintf("%s-%s-%d%s", a.cfg.Name, at.UTC().Format(timeFormat), index, extension)
}

// parse is the inverse of name. Everything that name could not have made is somebody else's.
func (a *Agent) parse(name string) (entry, bool) {
	rest, ok := strings.CutPrefix(name, a.cfg.Name+"-")
	rest, isSnap := strings.CutSuffix(rest, extension)
	at, number, cut := strings.Cut(rest, "-")
	taken, err := time.Parse(timeFormat, at)
	index, numErr := strconv.ParseUint(number, 10, 64)
	e := entry{name, taken, index}
	return e, ok && isSnap && cut && err == nil && numErr == nil && a.name(taken, index) == name
}

// stored returns what this agent has stored, the newest first.
func (a *Agent) stored(ctx context.Context) ([]entry, error) {
	names, err := a.cfg.Store.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	var list []entry
	for _, name := range names {
		if e, ok := a.parse(name); ok {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(x, y entry) int { return cmp.Or(y.taken.Compare(x.taken), cmp.Compare(y.index, x.index)) })
	return list, nil
}

// prune deletes what the retention does not cover. The snapshot just taken, which is known to be good, stays whatever
// its name says.
func (a *Agent) prune(ctx context.Context, just string) (deleted []string, err error) {
	list, err := a.stored(ctx)
	if err != nil {
		return nil, err
	}
	a.metrics.stored.Set(float64(len(list)))
	others := slices.DeleteFunc(slices.Clone(list), func(e entry) bool { return e.name == just })
	if len(others) == len(list) {
		return nil, fmt.Errorf("%s does not list %s, which has just been stored there; nothing is deleted", a.cfg.Store, just)
	}
	if a.cfg.Retain < 0 || len(others) < a.cfg.Retain {
		return nil, nil
	}
	var errs []error
	for _, e := range others[a.cfg.Retain-1:] {
		if err := a.cfg.Store.Delete(ctx, e.name); err != nil {
			errs = append(errs, err)
			continue
		}
		deleted = append(deleted, e.name)
		a.log.Info("deleted an old snapshot", "name", e.name)
	}
	a.metrics.stored.Set(float64(len(list) - len(deleted)))
	return deleted, errors.Join(errs...)
}
