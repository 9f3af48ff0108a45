// Package boltread reads BoltDB files (go.etcd.io/bbolt) that may be damaged.
//
// The library maps the file into memory and believes what its pages say: one that is cut off or overwritten can crash
// the process or send it round in circles. This package reads page by page, checks every number before it uses it,
// and says which page at which byte is wrong; what other pages hold can still be read.
//
// It promises that no content of a file makes it panic, loop, or take more memory than a few times the file's size, and
// that it writes nothing: it opens files read-only and, through the library, holds the lock that keeps writers out.
// It reads top-level buckets with their keys in order, the whole of what Raft's log store uses; nested buckets show
// as keys without a value. Package replay is its caller.
package boltread
