package client

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/shirou/gopsutil/v4/cpu"

	"github.com/rollcall-id/rollcall/structs"
)

func TestProcessorUseIsThatSinceTheQuestionBefore(t *testing.T) {
	var h hostStats
	for _, tc := range []struct {
		name  string
		times cpu.TimesStat
		want  structs.HostCPUStats
	}{
		{"the first counts from the start", cpu.TimesStat{User: 10, System: 20, Idle: 70}, structs.HostCPUStats{User: 10, System: 20, Idle: 70}},
		{"the second from the first", cpu.TimesStat{User: 15, System: 20, Idle: 75}, structs.HostCPUStats{User: 50, Idle: 50}},
		{"no time has passed", cpu.TimesStat{User: 15, System: 20, Idle: 75}, structs.HostCPUStats{}},
		{"a counter goes back", cpu.TimesStat{User: 25, System: 19, Idle: 76}, structs.HostCPUStats{User: 100, Idle: 10}},
		{"waiting is neither busy nor idle", cpu.TimesStat{User: 25, System: 19, Idle: 76, Iowait: 10}, structs.HostCPUStats{}},
	} {
		tc.times.CPU, tc.want.CPU = "cpu0", "cpu0"
		if diff := cmp.Diff([]*structs.HostCPUStats{&tc.want}, h.since([]cpu.TimesStat{tc.times})); diff != "" {
			t.Errorf("%s: -want +got:\n%s", tc.name, diff)
		}
	}
}
