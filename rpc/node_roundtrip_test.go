package rpc

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

// What a node says of itself that nobody here reads comes out again as it went in (wire.md §2.6).
func TestNodeFieldsThatAreNotReadSurvive(t *testing.T) {
	w := newWorld(t)
	at := time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC)
	binary, err := at.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	unread := map[string]any{
		"CgroupParent": "/nomad.slice", "Links": map[string]any{"consul": "n1.dc1"},
		"NodeResources": map[string]any{
			"Cpu":        map[string]any{"CpuShares": int64(48000), "TotalCpuCores": int64(16), "ReservableCpuCores": []any{int64(0), int64(1)}},
			"Processors": map[string]any{"Topology": map[string]any{"Nodes": "\x00\x01", "Cores": []any{map[string]any{"ID": int64(3), "Grade": true}}}},
			"Memory":     map[string]any{"MemoryMB": int64(64000)}, "Disk": map[string]any{"DiskMB": int64(500000)},
			"Devices":      []any{map[string]any{"Vendor": "nvidia", "Attributes": map[string]any{"memory": map[string]any{"Int": int64(11), "Unit": "GiB"}}}},
			"NodeNetworks": []any{map[string]any{"Mode": "host", "Speed": int64(1000)}}, "MinDynamicPort": int64(20000), "MaxDynamicPort": int64(32000),
		},
		"ReservedResources":    map[string]any{"Networks": map[string]any{"ReservedHostPorts": "22,80"}},
		"Drivers":              map[string]any{"exec": map[string]any{"Detected": true, "Attributes": map[string]any{"a": "b"}, "UpdateTime": string(binary)}},
		"CSIControllerPlugins": map[string]any{"ebs": map[string]any{"Healthy": true, "UpdateTime": string(binary)}},
		"CSINodePlugins":       map[string]any{"ebs": map[string]any{"NodeInfo": map[string]any{"MaxVolumes": int64(25)}}},
		"HostVolumes":          map[string]any{"data": map[string]any{"Path": "/data", "ReadOnly": true}},
		"HostNetworks":         map[string]any{"public": map[string]any{"CIDR": "10.0.0.0/8"}},
		"GCVolumesOnNodeGC":    true, "NodeMaxAllocs": int64(7), "TLSEnabled": true, "HTTPAddr": "10.0.0.9:4646",
	}
	node := map[string]any{
		"ID": nodeID(1), "SecretID": secretOf(1), "Datacenter": "dc1", "Name": "n1", "NodePool": "default", "Status": "initializing",
		"Attributes": map[string]any{"nomad.version": capable, "cpu.arch": "amd64"}, "Meta": map[string]any{"rack": "r1"},
	}
	for k, v := range unread {
		node[k] = v
	}
	must(call[structs.NodeUpdateResponse](w, "Node.Register", map[string]any{"Node": node, "Region": region}))(t)
	got := must(call[structs.SingleNodeResponse](w, "Node.GetNode", specific("")))(t).Node

	b, err := structs.EncodeBytes(got)
	if err != nil {
		t.Fatal(err)
	}
	var wire map[string]any
	if err := structs.Decode(b, &wire); err != nil {
		t.Fatal(err)
	}
	for k, v := range unread {
		if diff := cmp.Diff(v, wire[k]); diff != "" {
			t.Errorf("%s on the wire (-put +got):\n%s", k, diff)
		}
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var shown struct {
		NodeResources struct {
			Processors struct{ Topology struct{ Nodes []int } }
			Memory     struct{ MemoryMB int }
		}
		Drivers, CSIControllerPlugins map[string]struct{ UpdateTime time.Time }
		HostVolumes                   map[string]struct{ Path string }
		NodeMaxAllocs                 int
	}
	if err := json.Unmarshal(text, &shown); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{0, 1}, shown.NodeResources.Processors.Topology.Nodes); diff != "" {
		t.Errorf("the topology's nodes in JSON (-put +got):\n%s", diff)
	}
	if !shown.Drivers["exec"].UpdateTime.Equal(at) || !shown.CSIControllerPlugins["ebs"].UpdateTime.Equal(at) ||
		shown.NodeResources.Memory.MemoryMB != 64000 || shown.HostVolumes["data"].Path != "/data" || shown.NodeMaxAllocs != 7 {
		t.Errorf("in JSON %+v", shown)
	}
}
