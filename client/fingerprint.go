package client

import (
	"runtime"
	"strconv"

	"github.com/rollcall-id/rollcall/internal/version"
	"github.com/rollcall-id/rollcall/structs"
)

// fingerprint returns the attributes that the machine reports of itself. What can't be found out is left out.
func fingerprint(hostname, ownVersion string) map[string]string {
	a := map[string]string{
		"kernel.name":               runtime.GOOS,
		"os.name":                   runtime.GOOS,
		"arch":                      runtime.GOARCH,
		"cpu.arch":                  runtime.GOARCH,
		"cpu.numcores":              strconv.Itoa(runtime.NumCPU()),
		"unique.hostname":           hostname,
		structs.AttrNomadVersion:    version.CompatBuild, // servers of that line issue identities by it
		structs.AttrRollcallVersion: ownVersion,
	}
	for k, v := range platformAttributes() {
		if v != "" {
			a[k] = v
		}
	}
	return a
}

// What the node offers to a scheduler: nothing, as it runs no workloads. Peers expect the values to be there.
var (
	noResources = mustEncode(map[string]any{
		"Cpu":    map[string]any{"CpuShares": 0, "TotalCpuCores": 0, "ReservableCpuCores": nil},
		"Memory": map[string]any{"MemoryMB": 0},
		"Disk":   map[string]any{"DiskMB": 0},
		// Ports that a task could be given. Peers look for the range that they know.
		"MinDynamicPort": 20000, "MaxDynamicPort": 32000,
	})
	noReservedResources = mustEncode(map[string]any{
		"Cpu":      map[string]any{"CpuShares": 0, "ReservedCpuCores": nil},
		"Memory":   map[string]any{"MemoryMB": 0},
		"Disk":     map[string]any{"DiskMB": 0},
		"Networks": map[string]any{"ReservedHostPorts": ""},
	})
)

func mustEncode(v any) structs.Raw {
	b, err := structs.EncodeBytes(v)
	if err != nil {
		panic(err)
	}
	return b
}
