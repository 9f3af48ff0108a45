package state

import (
	"fmt"
	"testing"

	"github.com/rollcall-id/rollcall/structs"
)

// The cost of one command must not grow with the fleet: compare 1,000 with 50,000 nodes.
var fleetSizes = []int{1_000, 50_000}

func benchNode(i int) *structs.Node {
	n := newNode(i)
	for j := range 44 {
		n.Attributes = n.Attributes.With(fmt.Sprintf("attribute.number.%d", j), fmt.Sprintf("value %d", j))
	}
	n.IdentitySigningKeyID = keyID(1)
	return n
}

func fleet(b *testing.B, size int) *Store {
	s := New()
	must(b, s, putKey(2, newKey(1, structs.KeyStateActive)), putKey(3, newKey(2, structs.KeyStateInactive)))
	t := s.WriteTxn()
	defer t.Commit()
	for i := range size {
		if err := register(4, benchNode(i))(t); err != nil {
			b.Fatal(err)
		}
	}
	return s
}

// benchCommands measures commands of a fleet, each in a transaction of its own and in batches of 64 as a server
// under load applies them.
func benchCommands(b *testing.B, command func(i, size int) func(*Txn) error) {
	for _, size := range fleetSizes {
		for _, batch := range []int{1, 64} {
			b.Run(fmt.Sprintf("nodes=%d/batch=%d", size, batch), func(b *testing.B) {
				s := fleet(b, size)
				b.ReportAllocs()
				b.ResetTimer()
				for i := 0; i < b.N; i += batch {
					t := s.WriteTxn()
					for j := i; j < min(i+batch, b.N); j++ {
						if err := command(j, size)(t); err != nil {
							b.Fatal(err)
						}
					}
					t.Commit()
				}
			})
		}
	}
}

// spread walks over a fleet in an order that does not follow the trees.
func spread(i, size int) int { return i * 7919 % size }

func BenchmarkStatusUpdate(b *testing.B) {
	benchCommands(b, func(i, size int) func(*Txn) error {
		return status(uint64(10+i), nodeID(spread(i, size)), structs.NodeStatusReady)
	})
}

// BenchmarkStatusUpdateNewKey is the most expensive renewal: the first after a rotation.
func BenchmarkStatusUpdateNewKey(b *testing.B) {
	benchCommands(b, func(i, size int) func(*Txn) error {
		return func(t *Txn) error {
			return t.UpdateNodeStatus(uint64(10+i), &structs.NodeUpdateStatusRequest{
				NodeID: nodeID(spread(i, size)), Status: structs.NodeStatusReady, IdentitySigningKeyID: keyID(1 + (i/size+1)%2),
			})
		}
	})
}

func BenchmarkRegister(b *testing.B) {
	n := benchNode(0)
	benchCommands(b, func(i, size int) func(*Txn) error {
		c := n.ShallowCopy()
		c.ID, c.SecretID = nodeID(size+i), secret(size+i)
		return register(uint64(10+i), c)
	})
}

func BenchmarkReregister(b *testing.B) {
	n := benchNode(0)
	benchCommands(b, func(i, size int) func(*Txn) error {
		c := n.ShallowCopy()
		c.ID, c.SecretID = nodeID(spread(i, size)), secret(spread(i, size))
		return register(uint64(10+i), c)
	})
}

func BenchmarkNodeByID(b *testing.B) {
	for _, size := range fleetSizes {
		b.Run(fmt.Sprintf("nodes=%d", size), func(b *testing.B) {
			s := fleet(b, size)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if n, err := s.NodeByID(nil, nodeID(spread(i, size))); err != nil || n == nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}

func BenchmarkNodeBySecretHash(b *testing.B) {
	for _, size := range fleetSizes {
		b.Run(fmt.Sprintf("nodes=%d", size), func(b *testing.B) {
			s := fleet(b, size)
			hash := structs.HashSecret(secret(size / 2))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if n, err := s.NodeBySecretHash(hash); err != nil || n == nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}

// BenchmarkKeyInUse asks about a key that no node uses: the answer must not take a look at every node.
func BenchmarkKeyInUse(b *testing.B) {
	for _, size := range fleetSizes {
		b.Run(fmt.Sprintf("nodes=%d", size), func(b *testing.B) {
			s := fleet(b, size)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if used, err := s.KeyInUse(keyID(2), 1); err != nil || used {
					b.Fatal(used, err)
				}
			}
		})
	}
}

func BenchmarkDigest(b *testing.B) {
	s := fleet(b, 10_000)
	b.ResetTimer()
	for range b.N {
		digest(b, s)
	}
}
