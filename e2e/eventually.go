package e2e

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// pollInterval is how often a condition is looked at.
const pollInterval = 50 * time.Millisecond

// errFinal marks an error that waiting does not mend.
type errFinal struct{ error }

func (e errFinal) Unwrap() error { return e.error }

// Final marks err as one that ends Eventually at once.
func Final(err error) error { return errFinal{err} }

// Eventually calls check until it returns nil. It gives up when ctx ends or after limit, with the error of the last check that
// was not just cut short or with the cause of ctx, and at once when the error is marked Final.
func Eventually(ctx context.Context, what string, limit time.Duration, check func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	start := time.Now()
	var last error
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil || !errors.Is(err, context.DeadlineExceeded) {
			last = err
		}
		var final errFinal
		if errors.As(err, &final) {
			return fmt.Errorf("%s: %w", what, err)
		}
		t := time.NewTimer(pollInterval)
		select {
		case <-ctx.Done():
			t.Stop()
			if cause := context.Cause(ctx); cause != ctx.Err() {
				return fmt.Errorf("%s: %w", what, cause) // says more than that something was cut short
			}
			return fmt.Errorf("%s: not after %s: %w", what, time.Since(start).Round(time.Millisecond), last)
		case <-t.C:
		}
	}
}
