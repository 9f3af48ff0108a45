package config

import (
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

var (
	// A region is a label of certificate names (server.<region>.nomad) and the last part of a gossip member's name.
	regionRule = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$`)
	// Both of these travel in gossip tags and names, which memberlist bounds.
	datacenterRule = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
	nameRule       = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
	poolRule       = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,128}$`)
)

var logLevels = []string{"trace", "debug", "info", "warn", "error", "off"}

// validator checks one configuration as it is, defaults included, and does not change it.
type validator struct {
	*Config
	errs  problems
	warns problems
}

// Validate returns everything that is wrong, joined, each part a *Problem that names file and line where the setting was
// given; nil if the agent can run with it. Besides the configuration it reads only the machine's network interfaces, where an
// address is a template or has to be derived, and the environment that a transit keyring names. Warnings returns the rest.
func (c *Config) Validate() error {
	return c.check(machine).errs.err()
}

// Warnings returns what is accepted but deserves a look: ignored blocks, older names, doubtful combinations.
func (c *Config) Warnings() []Problem {
	return append(slices.Clone(c.notes), c.check(machine).warns...)
}

func (c *Config) check(m interfaces) *validator {
	v := &validator{Config: c}
	v.general()
	v.addresses(m)
	if c.Server.Enabled {
		v.server()
	}
	if c.Client.Enabled {
		v.client()
	}
	v.keyrings()
	v.tls()
	v.public()
	v.acl()
	v.telemetry()
	v.limits()
	v.autopilot()
	return v
}

// at is where key was given, or the nearest block around it; zero if neither was.
func (c *Config) at(key string) Pos {
	for key != "" {
		if pos, ok := c.origin[key]; ok {
			return pos
		}
		key = key[:max(strings.LastIndexByte(key, '.'), 0)]
	}
	return Pos{}
}

func (v *validator) errorf(key, format string, args ...any) {
	v.errs.add(v.at(key), key, format, args...)
}

func (v *validator) warnf(key, format string, args ...any) {
	v.warns.add(v.at(key), key, format, args...)
}

func (v *validator) general() {
	if !v.Server.Enabled && !v.Client.Enabled {
		v.errorf("", "neither server.enabled nor client.enabled is true, so there is nothing to run")
	}
	if !regionRule.MatchString(v.Region) {
		v.errorf("region", "must be 1 to 63 letters, digits, - or _ and begin and end with a letter or digit")
	}
	if !datacenterRule.MatchString(v.Datacenter) {
		v.errorf("datacenter", "must be 1 to 63 letters, digits, dots, - or _ and begin and end with a letter or digit")
	}
	// Without a name Normalize takes the host's, and checks it by the same rule.
	if v.Name != "" && !nameRule.MatchString(v.Name) {
		v.errorf("name", "%s", nameHelp)
	}
	if !slices.Contains(logLevels, strings.ToLower(v.LogLevel)) {
		v.errorf("log_level", "must be one of %s", strings.Join(logLevels, ", "))
	}
	if v.DataDir == "" && !v.DevMode {
		v.errorf("data_dir", "is required: give an absolute path for what the agent persists")
	}
	v.absolute("data_dir", v.DataDir)
	v.absolute("server.data_dir", v.Server.DataDir)
	v.absolute("client.state_dir", v.Client.StateDir)
}

const nameHelp = "must be 1 to 63 letters, digits, dots, - or _ and begin and end with a letter or digit"

func (v *validator) absolute(key, path string) {
	if path != "" && !filepath.IsAbs(path) {
		v.errorf(key, "must be an absolute path")
	}
}

func (v *validator) oneOf(key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		v.errorf(key, "must be one of %s", strings.Join(allowed, ", "))
	}
}

func (v *validator) positive(key string, d time.Duration) {
	if d <= 0 {
		v.errorf(key, "must be more than 0s, got %s", d)
	}
}

func (v *validator) notNegative(key string, n int) {
	if n < 0 {
		v.errorf(key, "must be 0 or more, got %d", n)
	}
}

func (v *validator) between(key string, n, low, high int) {
	if n < low || n > high {
		v.errorf(key, "must be from %d to %d, got %d", low, high, n)
	}
}

func (v *validator) client() {
	c := v.Client
	if c.NodePool != "" && !poolRule.MatchString(c.NodePool) {
		v.errorf("client.node_pool", "must be 1 to 128 letters, digits, - or _")
	}
	if c.NodePool == "all" {
		v.errorf("client.node_pool", `must not be "all", the built-in pool of every node`)
	}
	if len(c.NodeClass) > 128 || strings.ContainsFunc(c.NodeClass, isControl) {
		v.errorf("client.node_class", "must be at most 128 bytes without control characters")
	}
	for name := range c.Meta {
		if name == "" || len(name) > 128 || strings.ContainsFunc(name, isControl) {
			v.errorf("client.meta", "names must be 1 to 128 bytes without control characters")
			break
		}
	}
	v.serverJoin("client.server_join", c.ServerJoin)
	if !v.Server.Enabled && len(c.Servers)+len(c.ServerJoin.RetryJoin)+len(c.ServerJoin.StartJoin) == 0 {
		v.errorf("client.servers", "a client without a server of its own needs client.servers or client.server_join.retry_join")
	}
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func (v *validator) serverJoin(key string, j ServerJoin) {
	v.notNegative(key+".retry_max", j.RetryMax)
	v.positive(key+".retry_interval", j.RetryInterval)
}

func (v *validator) keyrings() {
	active := 0
	for _, k := range v.Keyrings {
		key := "keyring." + clip(k.ProviderID())
		if k.Name != "" && !poolRule.MatchString(k.Name) {
			v.errs.add(k.pos, key, "name must be 1 to 128 letters, digits, - or _")
		}
		switch {
		case k.Provider == aead:
			v.aeadKeyring(k, key)
		case k.Provider == transit:
			v.transitKeyring(k, key)
		case slices.Contains(absentProviders, k.Provider):
			v.errs.add(k.pos, key, "provider %s is not built in; use aead or transit", k.Provider)
		default:
			v.errs.add(k.pos, key, "unknown provider; use aead or transit")
		}
		if k.Active {
			active++
		}
		if active > 1 && k.Active {
			v.errs.add(k.pos, key, "only one keyring block may be active")
		}
	}
	if len(v.Keyrings) > 0 && active == 0 {
		v.errs.add(v.Keyrings[0].pos, "keyring", "none of the keyring blocks is active; set active = true in one")
	}
}

func (v *validator) aeadKeyring(k Keyring, key string) {
	if k.KEKFile != "" && !filepath.IsAbs(k.KEKFile) {
		v.errs.add(k.pos, key, "kek_file must be an absolute path")
	}
	if k.KEKCredential != "" && !credentialRule.MatchString(k.KEKCredential) {
		v.errs.add(k.pos, key, "kek_credential must be the name of a systemd credential: 1 to 128 letters, digits, -, _ or .")
	}
	if k.KEKFile != "" && k.KEKCredential != "" {
		v.errs.add(k.pos, key, "give one of kek_file and kek_credential")
	}
}

func (v *validator) acl() {
	a := v.ACL
	v.positive("acl.token_ttl", a.TokenTTL)
	v.positive("acl.policy_ttl", a.PolicyTTL)
	v.positive("acl.role_ttl", a.RoleTTL)
	v.positive("acl.token_min_expiration_ttl", a.MinExpirationTTL)
	if a.MaxExpirationTTL < a.MinExpirationTTL {
		v.errorf("acl.token_max_expiration_ttl", "must not be less than acl.token_min_expiration_ttl (%s), got %s", a.MinExpirationTTL, a.MaxExpirationTTL)
	}
	if a.ReplicationToken != "" {
		v.warnf("acl.replication_token", "has no effect: tokens are not replicated between regions")
	}
}

func (v *validator) telemetry() {
	t := v.Telemetry
	v.positive("telemetry.collection_interval", t.CollectionInterval)
	v.positive("telemetry.in_memory_collection_interval", t.InMemoryCollectionInterval)
	if t.InMemoryRetentionPeriod < t.InMemoryCollectionInterval {
		v.errorf("telemetry.in_memory_retention_period", "must not be shorter than in_memory_collection_interval (%s), got %s",
			t.InMemoryCollectionInterval, t.InMemoryRetentionPeriod)
	}
	for _, sink := range []struct{ key, addr string }{
		{"telemetry.statsd_address", t.StatsdAddress}, {"telemetry.statsite_address", t.StatsiteAddress},
	} {
		if sink.addr == "" {
			continue
		}
		if _, port, err := splitAddr(sink.addr); err != nil || port <= 0 {
			v.errorf(sink.key, "must be HOST:PORT")
		}
	}
}

func (v *validator) autopilot() {
	a := v.Autopilot
	v.positive("autopilot.last_contact_threshold", a.LastContactThreshold)
	v.positive("autopilot.server_stabilization_time", a.ServerStabilizationTime)
	v.notNegative("autopilot.max_trailing_logs", a.MaxTrailingLogs)
	v.notNegative("autopilot.min_quorum", a.MinQuorum)
}

func isLoopback(hostport string) bool {
	ap, err := netip.ParseAddrPort(hostport)
	return err == nil && ap.Addr().IsLoopback()
}
