package heap

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of a huge page, in bytes: 2 MiB on amd64, and on arm64 with pages of 4 KiB.
const hugePage = 2 << 20

// advise asks for huge pages for those that lie within n bytes from p on. A kernel that has none refuses, which changes
// nothing.
func advise(p *byte, n uintptr) {
	at := -uintptr(unsafe.Pointer(p)) & (hugePage - 1) // of the first that begins there
	if n < at+hugePage {
		return
	}
	_ = unix.Madvise(unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(p), at)), (n-at)&^(hugePage-1)), unix.MADV_HUGEPAGE)
}
