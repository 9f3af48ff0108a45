//go:build !linux

package host

import "github.com/rollcall-id/rollcall/structs"

func disks() map[string]structs.DiskUsage { return map[string]structs.DiskUsage{} }
