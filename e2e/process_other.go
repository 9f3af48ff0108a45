//go:build !linux

package e2e

import (
	"os/exec"
	"syscall"
)

// attributes put a process into a group of its own, so that Ctrl-C reaches only the program that started it.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func spawn(cmd *exec.Cmd) error { return cmd.Start() }
