// Package heap has the kernel back this process's memory by huge pages while a state is loaded.
//
// A state that is restored is some thousand bytes a node of memory that the process has never touched, and the
// kernel hands memory out in pieces of 4 KiB: at each the processor stops, and on a virtual machine the hypervisor
// often has its part in it. That takes as long as reading the nodes, or longer. In pieces of 2 MiB there are five hundred
// times fewer stops. Most distributions leave it to the program to ask for them (the mode "madvise"), and Go does not.
//
// It changes no program's meaning: where the kernel has no huge pages, or none to give, memory comes as it always does.
package heap

import (
	"io"
	"runtime"
	"strings"
	"unsafe"
)

// Rooms that a Growth asks for, in bytes: the first, and the largest of those that follow, each as large as all before.
const (
	firstRoom = 256 << 20
	mostRoom  = 1 << 30
)

// little is what is loaded before a Growth asks for anything, in bytes: small states come and go without.
const little = 4 << 20

// Growth asks ahead of the memory that a growing state takes. The zero value has asked for none. It is for one
// goroutine at a time.
type Growth struct{ loaded, room int64 }

// Loaded notes that n more bytes of an encoded state are about to be loaded, and asks for room when there is little.
func (g *Growth) Loaded(n int) {
	// What is loaded takes up to twice its encoded size, with the garbage that reading it makes.
	if g.loaded += int64(n); g.loaded > little && 2*g.loaded > g.room {
		more := min(max(g.room, firstRoom), mostRoom)
		g.room += more
		grow(more)
	}
}

// grow makes the heap larger by n bytes, unless there is as much of it to spare, and asks for huge pages there. They count
// as memory of the process once they are written to, like any other.
func grow(n int64) {
	var room strings.Builder // which does not clear its memory, as make does with what was used before
	room.Grow(int(n))
	room.WriteByte(0)
	advise(unsafe.StringData(room.String()), uintptr(room.Cap()))
	runtime.KeepAlive(&room)
	room = strings.Builder{}
	runtime.GC() // leaves the room to everyone; by itself the collector would wait until as much again is used
}

// Reader reads an encoded state that is loaded as it is read.
type Reader struct {
	src  io.Reader
	heap Growth
}

// NewReader returns a Reader of src.
func NewReader(src io.Reader) *Reader { return &Reader{src: src} }

// Read reads, and asks ahead of the memory for it.
func (r *Reader) Read(p []byte) (int, error) {
	n, err := r.src.Read(p)
	r.heap.Loaded(n)
	return n, err
}
