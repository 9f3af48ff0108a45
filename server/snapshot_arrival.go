package server

import (
	"errors"
	"io"

	"github.com/rollcall-id/rollcall/fsm"
	"github.com/rollcall-id/rollcall/internal/heap"
)

var errCanceled = errors.New("the snapshot was canceled")

// arrivingLoad loads a state from what is written to it, in a goroutine that ends after end. It fails quietly: what
// could not be loaded is in a file then, and restoring that tells what is wrong with it.
type arrivingLoad struct {
	in     *io.PipeWriter
	done   chan struct{}
	loaded *fsm.Loaded // nil if it could not be loaded; to be read after done
}

func loadArriving() *arrivingLoad {
	out, in := io.Pipe()
	a := &arrivingLoad{in: in, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		l, err := fsm.Load(heap.NewReader(out))
		if err == nil {
			a.loaded = l
		} else {
			_ = out.CloseWithError(err) // who writes goes on without
		}
	}()
	return a
}

// Write never fails: the snapshot has to be written, whatever becomes of the loading.
func (a *arrivingLoad) Write(p []byte) (int, error) {
	_, _ = a.in.Write(p)
	return len(p), nil
}

// end says that nothing more comes; with an error, that what came counts for nothing. a may be nil.
func (a *arrivingLoad) end(err error) {
	if a != nil {
		_ = a.in.CloseWithError(err) // never fails
	}
}

// wait waits until everything is loaded, and returns it; nil if it could not be.
func (a *arrivingLoad) wait() *fsm.Loaded {
	<-a.done
	return a.loaded
}
