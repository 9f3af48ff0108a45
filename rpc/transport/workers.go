package transport

import "sync"

// maxIdleWorkers bounds the goroutines kept warm. A request needs a goroutine beside the one that reads on; one
// whose stack has grown already spares the copying.
const maxIdleWorkers = 128

// workers runs tasks, each in a goroutine that is not running another. The zero value is ready.
type workers struct {
	mu   sync.Mutex // guards the fields below
	idle []chan *request
	shut bool
	wg   sync.WaitGroup
}

func (w *workers) run(r *request) {
	w.mu.Lock()
	if n := len(w.idle); n > 0 {
		ch := w.idle[n-1]
		w.idle = w.idle[:n-1]
		w.mu.Unlock()
		ch <- r
		return
	}
	w.wg.Add(1)
	w.mu.Unlock()
	go w.work(r)
}

func (w *workers) work(r *request) {
	defer w.wg.Done()
	ch := make(chan *request, 1)
	for r != nil {
		r.serve()
		w.mu.Lock()
		if w.shut || len(w.idle) >= maxIdleWorkers {
			w.mu.Unlock()
			return
		}
		w.idle = append(w.idle, ch)
		w.mu.Unlock()
		r = <-ch
	}
}

// close ends all workers once they are idle, and waits for them. No task may be run any more.
func (w *workers) close() {
	w.mu.Lock()
	w.shut = true
	for _, ch := range w.idle {
		close(ch)
	}
	w.idle = nil
	w.mu.Unlock()
	w.wg.Wait()
}
