//go:build unix

package config

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// checkOwner refuses a file that belongs to neither this account nor root: its owner could replace what is in it.
func checkOwner(info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if self := os.Geteuid(); st.Uid != 0 && int64(st.Uid) != int64(self) {
		return fmt.Errorf("belongs to user %d, must belong to the account of the agent (user %d) or to root", st.Uid, self)
	}
	return nil
}
