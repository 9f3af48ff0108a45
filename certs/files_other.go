//go:build !unix

package certs

const openNonblock = 0
