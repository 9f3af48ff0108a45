package config

import (
	"encoding/base64"
	"math"
	"net/url"
	"strings"
	"time"
)

// maxEventBuffer bounds the batches of events in memory: at up to 512 changes each that is as much as anybody can mean.
const maxEventBuffer = 100_000

func (v *validator) server() {
	s := v.Server
	v.bootstrap()
	v.serverJoin("server.server_join", s.ServerJoin)
	v.raft()
	v.heartbeats()
	v.keys()
	v.introduction()
	v.between("server.event_buffer_size", s.EventBufferSize, 1, maxEventBuffer)
	v.positive("server.node_gc_threshold", s.NodeGCThreshold)
	v.positive("server.start_timeout", s.StartTimeout)
	if s.AuthoritativeRegion != "" && !regionRule.MatchString(s.AuthoritativeRegion) {
		v.errorf("server.authoritative_region", "must be a region's name: 1 to 63 letters, digits, - or _")
	}
	if s.Encrypt != "" {
		key, err := base64.StdEncoding.DecodeString(s.Encrypt)
		if n := len(key); err != nil || n != 16 && n != 24 && n != 32 {
			v.errorf("server.encrypt", "must be 16, 24 or 32 bytes in standard base64 (make one with: openssl rand -base64 32)")
		}
	}
}

func (v *validator) bootstrap() {
	s := v.Server
	n := s.BootstrapExpect
	v.notNegative("server.bootstrap_expect", n)
	if n > 0 && s.NonVotingServer {
		v.errorf("server.bootstrap_expect", "a non-voting server can't take part in the first election; leave bootstrap_expect out")
	}
	if n > 0 && n%2 == 0 {
		v.warnf("server.bootstrap_expect", "%d servers survive the loss of no more servers than %d do; an odd number is better", n, n-1)
	}
	if n == 0 && len(s.ServerJoin.RetryJoin)+len(s.ServerJoin.StartJoin) == 0 {
		v.warnf("server.bootstrap_expect", "without bootstrap_expect and without server_join the server waits to be joined by others")
	}
	if v.DevMode && n != 1 {
		v.errorf("server.bootstrap_expect", "must be 1 in dev mode, got %d", n)
	}
}

func (v *validator) raft() {
	s := v.Server
	v.between("server.raft_multiplier", s.RaftMultiplier, 1, 10)
	v.between("server.raft_trailing_logs", s.RaftTrailingLogs, 1, math.MaxInt32)
	v.between("server.raft_snapshot_threshold", s.RaftSnapshotThreshold, 1, math.MaxInt32)
	// Raft itself accepts nothing shorter.
	if s.RaftSnapshotInterval < 5*time.Millisecond {
		v.errorf("server.raft_snapshot_interval", "must be at least 5ms, got %s", s.RaftSnapshotInterval)
	}
	if b := s.RaftLogStore.Backend; b != "boltdb" {
		v.errorf("server.raft_logstore.backend", `must be "boltdb", the only log store of this version`)
	}
}

func (v *validator) heartbeats() {
	s := v.Server
	if s.MinHeartbeatTTL < time.Second || s.MinHeartbeatTTL > time.Hour {
		v.errorf("server.min_heartbeat_ttl", "must be from 1s to 1h, got %s", s.MinHeartbeatTTL)
	}
	if rate := s.MaxHeartbeatsPerSecond; !(rate > 0) || math.IsInf(rate, 0) {
		v.errorf("server.max_heartbeats_per_second", "must be more than 0, got %v", rate)
	}
	if s.HeartbeatGrace < 0 {
		v.errorf("server.heartbeat_grace", "must be 0s or more, got %s", s.HeartbeatGrace)
	}
	// A shorter one would mark healthy nodes down at every election.
	if s.FailoverHeartbeatTTL < s.MinHeartbeatTTL {
		v.errorf("server.failover_heartbeat_ttl", "must not be shorter than min_heartbeat_ttl (%s), got %s",
			s.MinHeartbeatTTL, s.FailoverHeartbeatTTL)
	}
}

func (v *validator) keys() {
	s := v.Server
	v.oneOf("server.signing_algorithm", s.SigningAlgorithm, "ES256", "EdDSA", "RS256")
	v.positive("server.root_key_gc_interval", s.RootKeyGCInterval)
	v.positive("server.root_key_gc_threshold", s.RootKeyGCThreshold)
	v.positive("server.root_key_rotation_threshold", s.RootKeyRotationThreshold)
	if s.RootKeyGCInterval > s.RootKeyRotationThreshold && s.RootKeyRotationThreshold > 0 {
		v.warnf("server.root_key_gc_interval", "keys are rotated only every %s, later than root_key_rotation_threshold (%s) asks",
			s.RootKeyGCInterval, s.RootKeyRotationThreshold)
	}
	if s.OIDCIssuer != "" {
		v.issuer(s.OIDCIssuer)
	}
}

func (v *validator) issuer(issuer string) {
	const key = "server.oidc_issuer"
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		v.errorf(key, "must be an absolute https:// or http:// URL")
	case u.User != nil:
		v.errorf(key, "must not hold a user name or password: every token carries it")
	case strings.ContainsAny(issuer, "?#"):
		v.errorf(key, "must have no query and no fragment")
	default:
		if u.Scheme == "http" {
			v.warnf(key, "is not https; most verifiers refuse it, and whoever is on the path can forge keys")
		}
		if strings.HasSuffix(issuer, "/") {
			v.warnf(key, "ends in a slash; tokens carry it as written, and verifiers compare it letter by letter")
		}
	}
}

// IssuerURL is the address of a document below the issuer: path begins with a slash, and a slash that ends the issuer is
// not doubled. It is empty if no issuer is configured.
func (s Server) IssuerURL(path string) string {
	if s.OIDCIssuer == "" {
		return ""
	}
	return strings.TrimRight(s.OIDCIssuer, "/") + path
}

func (v *validator) introduction() {
	in := v.Server.ClientIntroduction
	v.oneOf("server.client_introduction.enforcement", in.Enforcement, "none", "warn", "strict")
	v.positive("server.client_introduction.default_identity_ttl", in.DefaultIdentityTTL)
	v.positive("server.client_introduction.max_identity_ttl", in.MaxIdentityTTL)
	if in.MaxIdentityTTL < in.DefaultIdentityTTL && in.MaxIdentityTTL > 0 {
		v.errorf("server.client_introduction.max_identity_ttl", "must not be shorter than default_identity_ttl (%s), got %s",
			in.DefaultIdentityTTL, in.MaxIdentityTTL)
	}
}
