package host

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rollcall-id/rollcall/structs"
)

// disks lists the file systems that are on a device, and the root.
func disks() map[string]structs.DiskUsage {
	out := map[string]structs.DiskUsage{}
	for _, path := range mountPoints(fileText("/proc/self/mounts")) {
		var s unix.Statfs_t
		if unix.Statfs(path, &s) != nil {
			continue
		}
		block := uint64(s.Bsize)
		out[path] = structs.DiskUsage{DiskMB: int64(s.Blocks * block >> 20), UsedMB: int64((s.Blocks - s.Bfree) * block >> 20)}
	}
	return out
}

// mountPoints reads fstab(5) lines; a space in a path is written as \040.
func mountPoints(mounts string) []string {
	paths := []string{"/"}
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if len(fields) > 2 && strings.HasPrefix(fields[0], "/dev/") && fields[1] != "/" {
			paths = append(paths, strings.ReplaceAll(fields[1], `\040`, " "))
		}
	}
	return paths
}
