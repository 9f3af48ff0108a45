// Package host describes the machine that an agent runs on, for /v1/agent/host and bundles of what is needed to find a
// fault: the system, its network, name resolution, environment and disks.
//
// It tells no secrets: of the environment it has the names, and values only of variables that can't hold one. What can't
// be found out is left out.
package host
