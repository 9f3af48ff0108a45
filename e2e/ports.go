package e2e

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports are taken from below those that kernels give to outgoing connections, so that a port stays free between being picked
// and being opened, and also while its server is down.
const (
	firstPort = 20000
	lastPort  = 32000
)

// pickedPorts are those this process has handed out.
var pickedPorts struct {
	mu    sync.Mutex // guards taken
	taken map[int]bool
}

// FreePort returns a port that nothing uses on 127.0.0.1, neither TCP nor UDP, and that it returns only once.
func FreePort() (int, error) {
	pickedPorts.mu.Lock()
	defer pickedPorts.mu.Unlock()
	var last error
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		if pickedPorts.taken[port] {
			continue
		}
		if last = tryPort(port); last != nil {
			continue
		}
		if pickedPorts.taken == nil {
			pickedPorts.taken = make(map[int]bool)
		}
		pickedPorts.taken[port] = true
		return port, nil
	}
	return 0, fmt.Errorf("no free port found from %d to %d on 127.0.0.1: %w", firstPort, lastPort, last)
}

func tryPort(port int) error {
	tcp, err := net.Listen("tcp", loopback(port))
	if err != nil {
		return err
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", loopback(port))
	if err != nil {
		return err
	}
	return udp.Close()
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
