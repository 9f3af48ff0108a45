package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/rollcall-id/rollcall/structs"
)

// nodeDetail is a node with what is asked of others about it. What could not be learned is an error, which is shown.
type nodeDetail struct {
	node        *structs.Node
	claims      map[string]any
	claimsError error
	poolTTL     time.Duration
	poolError   error
	stats       *structs.HostStats
	statsError  error
}

// showNode prints one node. With -json or -t it is the record alone, as the API has it.
func (v *invocation) showNode(ctx context.Context, id string) error {
	res, err := v.client.Node(ctx, id, nil)
	if err != nil {
		return fmt.Errorf("show node %s: %w", id, err)
	}
	return v.result(res.Value, func(w io.Writer) {
		if v.Bool("short") {
			v.pairs(w, v.nodePairs(res.Value))
			return
		}
		v.showNodeDetail(w, v.askAbout(ctx, res.Value))
	})
}

// askAbout asks the node and its servers for the rest. A node without a connection is asked once.
func (v *invocation) askAbout(ctx context.Context, n *structs.Node) *nodeDetail {
	d := &nodeDetail{node: n}
	if pool, err := v.client.NodePool(ctx, n.NodePool, nil); err != nil {
		d.poolError = err
	} else {
		d.poolTTL = pool.Value.NodeIdentityTTL
	}
	if n.Status == structs.NodeStatusDown {
		d.claimsError = fmt.Errorf("the node is down")
		d.statsError = d.claimsError
		return d
	}
	if d.claims, d.claimsError = v.client.NodeIdentity(ctx, n.ID, nil); d.claimsError != nil {
		d.statsError = d.claimsError
		return d
	}
	d.stats, d.statsError = v.client.HostStats(ctx, n.ID, nil)
	return d
}

func (v *invocation) nodePairs(n *structs.Node) [][2]string {
	return [][2]string{
		{"ID", v.short(n.ID)}, {"Name", n.Name}, {"Node Pool", n.NodePool}, {"Class", orNone(n.NodeClass)}, {"DC", n.Datacenter},
		{"Drain", strconv.FormatBool(n.DrainStrategy != nil)}, {"Eligibility", n.SchedulingEligibility}, {"Status", n.Status},
		{"Status Since", stamp(unixTime(n.StatusUpdatedAt))},
		{"CSI Controllers", rawNames(n.CSIControllerPlugins)}, {"CSI Drivers", rawNames(n.CSINodePlugins)},
	}
}

func (v *invocation) showNodeDetail(w io.Writer, d *nodeDetail) {
	n := d.node
	uptime := none
	if d.statsError == nil {
		uptime = (time.Duration(d.stats.Uptime) * time.Second).String()
	}
	v.pairs(w, append(v.nodePairs(n), [][2]string{
		{"Uptime", uptime}, {"Host Volumes", rawNames(n.HostVolumes)}, {"Host Networks", rawNames(n.HostNetworks)},
		{"CSI Volumes", none}, {"Driver Status", rawNames(n.Drivers)},
	}...))
	v.section(w, "Identity")
	v.pairs(w, v.identityPairs(d))
	if v.Bool("stats") {
		v.showHostStats(w, d)
	}
	v.showEvents(w, n.Events)
	if v.Bool("verbose") {
		v.showMap(w, "Attributes", n.Attributes.Map())
	}
	v.showMap(w, "Meta", n.Meta.Map())
}

// identityPairs tells of the identity that the node holds now, as the node itself has it.
func (v *invocation) identityPairs(d *nodeDetail) [][2]string {
	ttl := notKnown(d.poolError)
	if d.poolError == nil {
		ttl = d.poolTTL.String()
	}
	issued, expires := notKnown(d.claimsError), notKnown(d.claimsError)
	if d.claimsError == nil {
		issued, expires = claimTime(d.claims["iat"]), claimTime(d.claims["exp"])
	}
	return [][2]string{
		{"Key", orNone(v.short(d.node.IdentitySigningKeyID))}, {"Issued", issued}, {"Expires", expires}, {"Pool TTL", ttl},
	}
}

func notKnown(err error) string {
	if err == nil {
		return none
	}
	return fmt.Sprintf("not known: %s", err)
}

func claimTime(v any) string {
	seconds, ok := v.(float64)
	if !ok {
		return none
	}
	return stamp(time.Unix(int64(seconds), 0))
}

func (v *invocation) showHostStats(w io.Writer, d *nodeDetail) {
	v.section(w, "Host Resource Utilization")
	if d.statsError != nil {
		fmt.Fprintln(w, printable(notKnown(d.statsError)))
		return
	}
	s := d.stats
	var rows [][2]string
	if m := s.Memory; m != nil {
		rows = append(rows, [2]string{"Memory", fmt.Sprintf("%s of %s used, %s available",
			humanize.IBytes(m.Used), humanize.IBytes(m.Total), humanize.IBytes(m.Available))})
	}
	for _, c := range s.CPU {
		rows = append(rows, [2]string{c.CPU, fmt.Sprintf("%.1f%% user, %.1f%% system, %.1f%% idle", c.User, c.System, c.Idle)})
	}
	for _, disk := range s.DiskStats {
		rows = append(rows, [2]string{disk.Device, fmt.Sprintf("%s: %s of %s used (%.1f%%), inodes %.1f%%",
			disk.Mountpoint, humanize.IBytes(disk.Used), humanize.IBytes(disk.Size), disk.UsedPercent, disk.InodesUsedPercent)})
	}
	v.pairs(w, rows)
}
