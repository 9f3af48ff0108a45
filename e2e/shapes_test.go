//go:build e2e

package e2e

import (
	"time"

	"github.com/rollcall-id/rollcall/e2e/wire"
)

// seen is a time that agents report; its nanoseconds must survive.
var seen = time.Date(2026, 3, 1, 12, 30, 15, 123456789, time.UTC)

// newNode is a node as agents of 1.11 and 2.0 send it: every key of docs/wire.md §2.6, also of what nothing here reads, and
// with a value that is not the empty one where it is the agent's to say (TestTheScriptedNodeHasEveryFieldOfTheFacts).
func newNode(version string) wire.Map {
	network := wire.Map{"Mode": "host", "Device": "eth0", "CIDR": "10.0.0.5/32", "IP": "10.0.0.5", "MBits": 1000} // writes no empty keys
	return wire.Map{
		"ID": "$node", "SecretID": "$secret", "Datacenter": "dc1", "Name": "scripted", "CgroupParent": "nomad.slice", "HTTPAddr": "10.0.0.5:4646",
		"TLSEnabled": true, "NodeClass": "small", "NodePool": "default", "ComputedClass": "", "SchedulingEligibility": "",
		"Status": "initializing", "StatusDescription": "as good as new", "StatusUpdatedAt": 0, "IdentitySigningKeyID": "", "Events": nil, "DrainStrategy": nil,
		"LastDrain": nil, "GCVolumesOnNodeGC": true, "NodeMaxAllocs": 300, "LastMissedHeartbeatIndex": uint64(3), "LastAllocUpdateIndex": uint64(4),
		"CreateIndex": 0, "ModifyIndex": 0,
		"Attributes": wire.Map{"nomad.version": version, "os.name": "debian", "cpu.numcores": "200", "unique.hostname": "scripted", "kernel.name": "linux"},
		"Links":      wire.Map{"aws.ec2": "i-0abc"}, "Meta": wire.Map{"rack": "r1"},
		"NodeResources": wire.Map{
			"Cpu":        wire.Map{"CpuShares": 9600, "TotalCpuCores": uint64(4), "ReservableCpuCores": []any{uint64(0), uint64(1), uint64(200)}},
			"Processors": wire.Map{"Topology": topology()},
			"Memory":     wire.Map{"MemoryMB": 7951}, "Disk": wire.Map{"DiskMB": 40957},
			"Devices": []any{wire.Map{
				"Vendor": "nvidia", "Type": "gpu", "Name": "T4", "Instances": []any{wire.Map{"ID": "GPU-1", "Healthy": true, "HealthDescription": "", "Locality": nil}},
				"Attributes": wire.Map{"memory": wire.Map{"Float": nil, "Int": 15, "String": nil, "Bool": nil, "Unit": "GiB"}},
			}},
			"NodeNetworks": []any{wire.Map{
				"Mode": "host", "Device": "eth0", "MacAddress": "02:42:ac:11:00:02", "Speed": 10000,
				"Addresses": []any{wire.Map{"Family": "ipv4", "Alias": "default", "Address": "10.0.0.5", "ReservedPorts": "", "Gateway": ""}},
			}},
			"Networks": []any{network}, "MinDynamicPort": 20000, "MaxDynamicPort": 32000,
		},
		"ReservedResources": wire.Map{
			"Cpu": wire.Map{"CpuShares": 100, "ReservedCpuCores": nil}, "Memory": wire.Map{"MemoryMB": 256}, "Disk": wire.Map{"DiskMB": 0},
			"Networks": wire.Map{"ReservedHostPorts": "22,80"},
		},
		"Drivers": wire.Map{"exec": wire.Map{
			"Attributes": wire.Map{"driver.exec": "1"}, "Detected": true, "Healthy": true, "HealthDescription": "Healthy", "UpdateTime": seen,
		}},
		"CSIControllerPlugins": wire.Map{"efs": wire.Map{
			"PluginID": "efs", "AllocID": "", "Healthy": false, "HealthDescription": "no answer", "UpdateTime": seen, "NodeInfo": nil,
			"ControllerInfo": wire.Map{"SupportsReadOnlyAttach": true, "SupportsAttachDetach": false},
		}},
		"CSINodePlugins": wire.Map{"ebs": wire.Map{
			"PluginID": "ebs", "AllocID": "", "Healthy": true, "HealthDescription": "healthy", "UpdateTime": seen, "ControllerInfo": nil,
			"NodeInfo": wire.Map{"ID": "i-0abc", "MaxVolumes": 26, "AccessibleTopology": nil, "RequiresNodeStageVolume": true},
		}},
		"HostVolumes":  wire.Map{"certs": wire.Map{"Name": "certs", "Path": "/etc/certs", "ReadOnly": true, "ID": ""}},
		"HostNetworks": wire.Map{"public": wire.Map{"Name": "public", "CIDR": "203.0.113.0/24", "Interface": "", "ReservedPorts": "22"}},
	}
}

func topology() wire.Map {
	return wire.Map{
		"Nodes": []byte{0, 1}, "Distances": []any{[]any{10, 20}, []any{20, 10}}, "BusAssociativity": nil, "OverrideTotalCompute": 0,
		"OverrideWitholdCompute": 0, "Cores": []any{wire.Map{
			"SocketID": uint64(0), "NodeID": uint64(0), "ID": uint64(0), "Grade": true, "Disable": false, "BaseSpeed": 2400, "MaxSpeed": 3600, "GuessSpeed": 0,
		}},
	}
}

// oldNode is a node as agents of 1.10 send it: with the parts that 1.11 dropped and without the one that it added.
func oldNode() wire.Map {
	n := newNode("1.10.5")
	delete(n, "IdentitySigningKeyID")
	n["Resources"] = wire.Map{"CPU": 9600, "Cores": 0, "MemoryMB": 7951, "MemoryMaxMB": 0, "DiskMB": 40957, "IOPS": 0, "Networks": nil, "Devices": nil}
	n["Reserved"] = wire.Map{"CPU": 100, "Cores": 0, "MemoryMB": 256, "MemoryMaxMB": 0, "DiskMB": 0, "IOPS": 0, "Networks": nil, "Devices": nil}
	return n
}

// query and change are the options that client agents send.
func query(token string, more wire.Map) wire.Map {
	m := wire.Map{
		"Region": "global", "Namespace": "", "MinQueryIndex": uint64(0), "MaxQueryTime": 0, "AllowStale": false, "Prefix": "", "AuthToken": token,
		"Filter": "", "PerPage": 0, "NextToken": "", "Reverse": false, "Forwarded": false,
	}
	for k, v := range more {
		m[k] = v
	}
	return m
}

func change(token string, more wire.Map) wire.Map {
	m := wire.Map{"Region": "global", "Namespace": "", "AuthToken": token, "IdempotencyToken": "", "Forwarded": false}
	for k, v := range more {
		m[k] = v
	}
	return m
}

func registration(node wire.Map, token string) wire.Map {
	return change(token, wire.Map{"Node": node, "NodeEvent": nil, "CreateNodePool": false})
}

func heartbeat(token string, forced bool) wire.Map {
	return change(token, wire.Map{
		"NodeID": "$node", "Status": "ready", "IdentitySigningKeyID": "", "ForceIdentityRenewal": forced, "NodeEvent": nil, "UpdatedAt": 0,
	})
}

// oldHeartbeat has no keys that 1.10 does not know.
func oldHeartbeat(token string) wire.Map {
	return change(token, wire.Map{"NodeID": "$node", "Status": "ready", "NodeEvent": nil, "UpdatedAt": 0})
}
