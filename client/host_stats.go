package client

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/mem"

	"github.com/rollcall-id/rollcall/structs"
)

// hostStats looks at the machine when asked.
type hostStats struct {
	mu   sync.Mutex               // guards last
	last map[string]cpu.TimesStat // of the question before; empty counts from the machine's start
}

// HostStats tells what the machine is busy with. What can't be found out is left out; it fails only without memory and
// processor numbers, or when ctx ends.
func (c *Client) HostStats(ctx context.Context) (*structs.HostStats, error) {
	out := &structs.HostStats{CPU: []*structs.HostCPUStats{}, DiskStats: []*structs.HostDiskStats{}, DeviceStats: []structs.Raw{}}
	m, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("read memory use: %w", err)
	}
	out.Memory = &structs.HostMemoryStats{Total: m.Total, Available: m.Available, Used: m.Used, Free: m.Free}
	times, err := cpu.TimesWithContext(ctx, true)
	if err != nil {
		return nil, fmt.Errorf("read processor use: %w", err)
	}
	out.CPU = c.hostStats.since(times)
	if out.DiskStats, err = diskStats(ctx); err != nil {
		c.log.Debug("disk use is not told whole", "error", err)
	}
	if out.Uptime, err = host.UptimeWithContext(ctx); err != nil {
		c.log.Debug("uptime is not told", "error", err)
	}
	return out, ctx.Err()
}

// since turns counters into shares of the time since the question before.
func (h *hostStats) since(times []cpu.TimesStat) []*structs.HostCPUStats {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]*structs.HostCPUStats, 0, len(times))
	next := make(map[string]cpu.TimesStat, len(times))
	for _, t := range times {
		next[t.CPU] = t
		before := h.last[t.CPU]
		total := busyAndIdle(t) - busyAndIdle(before)
		s := &structs.HostCPUStats{CPU: t.CPU}
		if total > 0 {
			s.User = percent(t.User-before.User, total)
			s.System = percent(t.System-before.System, total)
			s.Idle = percent(t.Idle-before.Idle, total)
		}
		out = append(out, s)
	}
	h.last = next
	return out
}

// busyAndIdle is all the time that a core has spent. User time has that of guests in it.
func busyAndIdle(t cpu.TimesStat) float64 {
	return t.User + t.System + t.Idle + t.Nice + t.Iowait + t.Irq + t.Softirq + t.Steal
}

// percent is within 0 and 100: a counter may go back a little.
func percent(part, of float64) float64 { return min(max(part/of*100, 0), 100) }

// diskStats tells of mounted disks; the error names those that could not be asked. File systems of the network are left
// out: one whose server is away would hold the answer up.
func diskStats(ctx context.Context) ([]*structs.HostDiskStats, error) {
	out := []*structs.HostDiskStats{}
	mounts, err := disk.PartitionsWithContext(ctx, false)
	if err != nil {
		return out, fmt.Errorf("list disks: %w", err)
	}
	var errs []error
	for _, p := range mounts {
		u, err := disk.UsageWithContext(ctx, p.Mountpoint)
		if err != nil {
			errs = append(errs, fmt.Errorf("read use of %s: %w", p.Mountpoint, err))
			continue
		}
		out = append(out, &structs.HostDiskStats{
			Device: p.Device, Mountpoint: p.Mountpoint, Size: u.Total, Used: u.Used, Available: u.Free,
			UsedPercent: u.UsedPercent, InodesUsedPercent: u.InodesUsedPercent,
		})
	}
	return out, errors.Join(errs...)
}
