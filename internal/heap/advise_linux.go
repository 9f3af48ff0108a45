package heap

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of a huge page, in bytes: 2 MiB on amd64, and on arm64 with pages of 4 KiB.
const hugePage = 2 << 20

// advise asks for huge pages for those that lie within b. A kernel that has none refuses, which changes nothing.
func advise(b []byte) {
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	from := -at & (hugePage - 1)
	if from >= uintptr(len(b)) {
		return
	}
	b = b[from:]
	_ = unix.Madvise(b[:len(b)&^(hugePage-1)], unix.MADV_HUGEPAGE)
}
