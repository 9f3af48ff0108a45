//go:build !linux

package heap

// advise does nothing: other kernels decide by themselves.
func advise(*byte, uintptr) {}
