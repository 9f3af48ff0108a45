//go:build !linux

package client

// platformAttributes has nothing beyond what Go knows of every platform.
func platformAttributes() map[string]string { return nil }
