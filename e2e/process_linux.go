package e2e

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// attributes put a process into a group of its own, so that Ctrl-C reaches only the program that started it, and let the
// kernel kill it when its starter dies.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

type spawnRequest struct {
	cmd  *exec.Cmd
	done chan error
}

// spawner starts every process from one thread that lives as long as this process: the kernel sends Pdeathsig when the
// starting thread ends, and Go ends threads as it likes.
var spawner = sync.OnceValue(func() chan<- spawnRequest {
	requests := make(chan spawnRequest)
	go func() {
		runtime.LockOSThread()
		for r := range requests {
			r.done <- r.cmd.Start()
		}
	}()
	return requests
})

func spawn(cmd *exec.Cmd) error {
	r := spawnRequest{cmd, make(chan error, 1)}
	spawner() <- r
	return <-r.done
}
