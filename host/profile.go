package host

import (
	"context"
	"errors"
	"net/http"

	"github.com/rollcall-id/rollcall/internal/profile"
	"github.com/rollcall-id/rollcall/structs"
)

// MaxProfileBytes and MaxNodeProfileBytes bound a profile's size: the latter travels over the connection that a node
// keeps for its heartbeats, which takes no larger answer.
const (
	MaxProfileBytes     = profile.MaxBytes
	MaxNodeProfileBytes = 1<<20 - 4096
)

// ErrProfilesOff: the agent was not told to let itself be profiled, which slows it down and shows what it works on.
var ErrProfilesOff = structs.Coded(http.StatusForbidden, "profiles are off on this agent; set enable_debug = true in its configuration")

// CheckProfile returns what is wrong with the numbers of the request, with its HTTP status.
func CheckProfile(req *structs.AgentProfileRequest) error {
	if req.Seconds < 0 || req.Seconds > profile.MaxSeconds {
		return structs.Coded(http.StatusBadRequest, "Invalid seconds: want 0 to %d", profile.MaxSeconds)
	}
	return nil
}

// Profile takes the profile that the request names. Errors carry their HTTP status.
func Profile(ctx context.Context, req *structs.AgentProfileRequest, maxBytes int) (*structs.AgentProfileResponse, error) {
	if err := CheckProfile(req); err != nil {
		return nil, err
	}
	o := profile.Options{Seconds: req.Seconds, Debug: req.Debug, GC: req.GC}
	payload, err := profile.Collect(ctx, req.Kind, o, maxBytes)
	switch {
	case errors.Is(err, profile.ErrUnknown):
		return nil, structs.Coded(http.StatusNotFound, "%w", err)
	case errors.Is(err, profile.ErrBusy):
		return nil, structs.Coded(http.StatusTooManyRequests, "%w", err)
	case errors.Is(err, profile.ErrTooLarge):
		return nil, structs.Coded(http.StatusBadRequest, "%w", err)
	case err != nil:
		return nil, err
	}
	return &structs.AgentProfileResponse{Payload: payload, Text: profile.Text(req.Kind, o)}, nil
}
