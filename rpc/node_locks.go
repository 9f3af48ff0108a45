package rpc

import (
	"hash/maphash"
	"sync"
)

// nodeLocks are one lock a node, nearly: nodes share them by the hash of their ID. There are so many that calls
// of different nodes seldom wait for each other, which would keep their commands from sharing a write to disk.
// The zero value is ready to use.
type nodeLocks struct {
	stripes [4096]sync.Mutex
}

var nodeLockSeed = maphash.MakeSeed()

// of returns the node's lock. A goroutine holds at most one.
func (l *nodeLocks) of(nodeID string) *sync.Mutex {
	return &l.stripes[maphash.String(nodeLockSeed, nodeID)%uint64(len(l.stripes))]
}
