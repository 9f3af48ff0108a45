package structs

// HostStats is what a node's machine is busy with.
type HostStats struct {
	Memory           *HostMemoryStats
	CPU              []*HostCPUStats  // one for each core
	DiskStats        []*HostDiskStats // one for each mounted disk
	AllocDirStats    *HostDiskStats   // nil on a node that runs no workloads
	DeviceStats      []Raw            // none on a node that offers no devices
	Uptime           uint64           // seconds
	CPUTicksConsumed float64          // MHz; 0 where the clock of the cores is not known
}

// HostMemoryStats are bytes.
type HostMemoryStats struct {
	Total     uint64
	Available uint64
	Used      uint64
	Free      uint64
}

// HostCPUStats are percentages of one core's time since the last question, or since the machine started.
type HostCPUStats struct {
	CPU    string
	User   float64
	System float64
	Idle   float64
}

// HostDiskStats has sizes in bytes.
type HostDiskStats struct {
	Device            string
	Mountpoint        string
	Size              uint64
	Used              uint64
	Available         uint64
	UsedPercent       float64
	InodesUsedPercent float64
}

// ClientStatsResponse is the reply of ClientStats.Stats. HostStats is handed on as it came: agents of other versions
// tell more than HostStats has.
type ClientStatsResponse struct {
	HostStats Raw
	QueryMeta
}
