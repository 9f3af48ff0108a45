package client

import (
	"context"
	"fmt"
	"strings"

	"github.com/rollcall-id/rollcall/host"
	"github.com/rollcall-id/rollcall/rpc/transport"
	"github.com/rollcall-id/rollcall/structs"
)

// unknownStreamText is what peers know a streaming method that does not exist by (wire.md §1.5).
const unknownStreamText = "Unknown rpc method: "

// reverse answers what servers ask over the node's own session (wire.md §1.2, §2.5). The server has authorized the caller; the
// session tells that it is a server.
type reverse struct{ c *Client }

var _ transport.Handler = reverse{}

// reverseMethods is what servers can ask, by service and name.
var reverseMethods = map[string]map[string]func(reverse, context.Context, []byte) (any, error){
	"NodeIdentity": {"Get": reverse.getIdentity, "Renew": reverse.renewIdentity},
	"NodeMeta":     {"Read": reverse.readMeta, "Apply": reverse.applyMeta},
	"ClientStats":  {"Stats": reverse.hostStats},
	"Agent": {
		"Host": reverse.describeHost, "Profile": reverse.takeProfile, "Self": reverse.reportSelf, "Metrics": reverse.reportMetrics,
	},
}

// ServeRPC answers for this node.
func (r reverse) ServeRPC(ctx context.Context, _ *transport.Conn, method string, body []byte) (any, error) {
	service, name, _ := strings.Cut(method, ".")
	methods := reverseMethods[service]
	if methods == nil {
		return nil, transport.ErrUnknownService(method)
	}
	serve := methods[name]
	if serve == nil {
		return nil, transport.ErrUnknownMethod(method)
	}
	return serve(r, ctx, body)
}

// decode reads the request; *id is the node that it names, which must be this one.
func (r reverse) decode(body []byte, req any, id *string) error {
	if err := structs.Decode(body, req); err != nil {
		return err
	}
	if *id != r.c.NodeID() {
		return fmt.Errorf("%w %q", structs.ErrUnknownNode, *id)
	}
	return nil
}

func (r reverse) getIdentity(_ context.Context, body []byte) (any, error) {
	var req structs.NodeSpecificRequest
	if err := r.decode(body, &req, &req.NodeID); err != nil {
		return nil, err
	}
	claims, err := r.c.IdentityClaims()
	if err != nil {
		return nil, err
	}
	return &structs.NodeIdentityGetResponse{Claims: claims}, nil
}

func (r reverse) renewIdentity(_ context.Context, body []byte) (any, error) {
	var req structs.NodeSpecificRequest
	if err := r.decode(body, &req, &req.NodeID); err != nil {
		return nil, err
	}
	r.c.log.Info("a server asks for a new identity at the next heartbeat")
	r.c.Renew()
	return structs.Empty{}, nil
}

func (r reverse) readMeta(_ context.Context, body []byte) (any, error) {
	var req structs.NodeSpecificRequest
	if err := r.decode(body, &req, &req.NodeID); err != nil {
		return nil, err
	}
	return r.c.NodeMeta(), nil
}

func (r reverse) applyMeta(_ context.Context, body []byte) (any, error) {
	var req structs.NodeMetaApplyRequest
	if err := r.decode(body, &req, &req.NodeID); err != nil {
		return nil, err
	}
	r.c.log.Info("a server changes the node's metadata", "keys", len(req.Meta))
	meta, err := r.c.ApplyNodeMeta(req.Meta)
	if err != nil {
		return nil, err
	}
	return meta, nil
}

func (r reverse) hostStats(ctx context.Context, body []byte) (any, error) {
	var req structs.NodeSpecificRequest
	if err := r.decode(body, &req, &req.NodeID); err != nil {
		return nil, err
	}
	stats, err := r.c.HostStats(ctx)
	if err != nil {
		return nil, err
	}
	raw, err := structs.EncodeBytes(stats)
	if err != nil {
		return nil, err
	}
	return &structs.ClientStatsResponse{HostStats: raw}, nil
}

func (r reverse) describeHost(_ context.Context, body []byte) (any, error) {
	var req structs.AgentRequest
	if err := r.decode(body, &req, &req.NodeID); err != nil {
		return nil, err
	}
	return &structs.AgentHostResponse{AgentID: r.c.NodeID(), HostData: host.Describe()}, nil
}

func (r reverse) takeProfile(ctx context.Context, body []byte) (any, error) {
	var req structs.AgentProfileRequest
	if err := r.decode(body, &req, &req.NodeID); err != nil {
		return nil, err
	}
	if !r.c.cfg.EnableDebug {
		return nil, host.ErrProfilesOff
	}
	r.c.log.Info("a server takes a profile of this agent", "kind", req.Kind, "seconds", req.Seconds)
	out, err := host.Profile(ctx, &req, host.MaxNodeProfileBytes)
	if err != nil {
		return nil, err
	}
	out.AgentID = r.c.NodeID()
	return out, nil
}

func (r reverse) reportSelf(_ context.Context, body []byte) (any, error) {
	return r.report(body, host.Reports.Self)
}

func (r reverse) reportMetrics(_ context.Context, body []byte) (any, error) {
	return r.report(body, host.Reports.Metrics)
}

// report answers with what take tells of the agent.
func (r reverse) report(body []byte, take func(host.Reports) ([]byte, error)) (any, error) {
	var req structs.AgentRequest
	if err := r.decode(body, &req, &req.NodeID); err != nil {
		return nil, err
	}
	out, err := host.Report(r.c.cfg.Reports, take, host.MaxNodeReportBytes)
	if err != nil {
		return nil, err
	}
	out.AgentID = r.c.NodeID()
	return out, nil
}
