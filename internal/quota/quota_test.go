package quota

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func tcp(ip string) net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(ip), 4242))
}

func TestAnAddressHasItsOwnBounds(t *testing.T) {
	var refused []Kind
	b := New(Limits{Conns: 2, Requests: 3}, Options{
		Exempt:  func(a netip.Addr) bool { return a == netip.MustParseAddr("10.0.0.9") },
		Refused: func(k Kind) { refused = append(refused, k) },
	})
	open := func(ip string, want bool) *Share {
		t.Helper()
		s, ok := b.Open(tcp(ip))
		if ok != want {
			t.Fatalf("a connection of %s: %v, want %v", ip, ok, want)
		}
		return s
	}
	first, second := open("10.0.0.1", true), open("::ffff:10.0.0.1", true) // one machine, whatever its address is written as
	open("10.0.0.1", false)
	other := open("10.0.0.2", true)
	if !first.Take(Requests, 2) || !second.Take(Requests, 1) || second.Take(Requests, 1) || !other.Take(Requests, 3) {
		t.Error("requests are not counted by address")
	}
	second.Give(Requests, 1)
	if !second.Take(Requests, 1) {
		t.Error("what was given back can't be taken")
	}
	if !other.Take(Bytes, 1<<40) {
		t.Error("a kind without a limit was refused")
	}
	server := open("10.0.0.9", true)
	open("10.0.0.9", true)
	open("10.0.0.9", false) // nobody is exempt from that
	if !server.Take(Requests, 1000) {
		t.Error("an address that is exempt was refused")
	}
	if want := []Kind{Conns, Requests, Conns}; !slices.Equal(refused, want) {
		t.Errorf("told of %v, want %v", refused, want)
	}
	first.Close()
	first.Close()
	open("10.0.0.1", true)
	open("10.0.0.1", false)
}

func TestNothingCountsForNobody(t *testing.T) {
	var s *Share
	if !s.Take(Requests, 1<<30) {
		t.Error("refused")
	}
	s.Give(Requests, 1)
	s.Close()
}

func TestWhatIsTakenAndGivenBackLeavesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 20).Draw(t, "limit")
		b := New(Limits{Conns: limit, Bytes: limit}, Options{})
		var open []*Share
		taken := map[*Share]int{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				if s, ok := b.Open(tcp([]string{"10.0.0.1", "10.0.0.2"}[rapid.IntRange(0, 1).Draw(t, "address")])); ok {
					open = append(open, s)
				}
			case 1:
				if len(open) > 0 {
					s := open[rapid.IntRange(0, len(open)-1).Draw(t, "of")]
					if n := rapid.IntRange(1, 10).Draw(t, "bytes"); s.Take(Bytes, n) {
						taken[s] += n
					}
				}
			case 2:
				if len(open) > 0 {
					s := open[0]
					open = open[1:]
					s.Give(Bytes, taken[s])
					delete(taken, s)
					s.Close()
				}
			}
			if len(open) > 2*limit || b.Used(Conns) != len(open) {
				t.Fatalf("%d connections are open, %d counted, at most %d allowed", len(open), b.Used(Conns), 2*limit)
			}
		}
		for _, s := range open {
			s.Give(Bytes, taken[s])
			s.Close()
		}
		if len(b.pages) != 0 {
			t.Fatalf("%d addresses are remembered", len(b.pages))
		}
	})
}

func TestTheBoundHoldsForManyAtOnce(t *testing.T) {
	b := New(Limits{Requests: 10}, Options{})
	s, _ := b.Open(tcp("10.0.0.1"))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 2000 {
				if s.Take(Requests, 3) {
					if n := b.Used(Requests); n > 10+8*3 { // those that are refused are counted for a moment
						t.Errorf("%d are taken", n)
					}
					s.Give(Requests, 3)
				}
			}
		})
	}
	wg.Wait()
	if n := b.Used(Requests); n != 0 {
		t.Errorf("%d are left", n)
	}
}
