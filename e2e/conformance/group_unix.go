//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// ownGroup puts the command and what it starts into a process group, and returns what ends all of it.
func ownGroup(cmd *exec.Cmd) (kill func()) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	kill = func() {
		if cmd.Process != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // none may be left
		}
	}
	cmd.Cancel = func() error { kill(); return nil }
	return kill
}
