package structs

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"time"
)

// ClusterMetadata names the cluster; written once. It is Raft type 32 as it is.
type ClusterMetadata struct {
	ClusterID  string
	CreateTime int64 // Unix ns
}

// AutopilotConfig is the replicated configuration of autopilot (wire.md §6.3).
type AutopilotConfig struct {
	CleanupDeadServers      bool
	ServerStabilizationTime time.Duration
	LastContactThreshold    time.Duration
	MaxTrailingLogs         uint64
	MinQuorum               uint64
	EnableRedundancyZones   bool
	DisableUpgradeMigration bool
	EnableCustomUpgrades    bool
	CreateIndex             uint64
	ModifyIndex             uint64
}

// DefaultAutopilotConfig is what a leader writes when there is none.
func DefaultAutopilotConfig() *AutopilotConfig {
	return &AutopilotConfig{
		CleanupDeadServers: true, LastContactThreshold: 200 * time.Millisecond, MaxTrailingLogs: 250,
		ServerStabilizationTime: 10 * time.Second,
	}
}

// Validate reports everything that is wrong with a configuration that is about to be stored.
func (c *AutopilotConfig) Validate() error {
	var errs []error
	if c.LastContactThreshold <= 0 {
		errs = append(errs, errors.New("last contact threshold must be positive"))
	}
	if c.ServerStabilizationTime < 0 {
		errs = append(errs, errors.New("server stabilization time must not be negative"))
	}
	if c.EnableRedundancyZones || c.DisableUpgradeMigration || c.EnableCustomUpgrades {
		errs = append(errs, errors.New("redundancy zones, upgrade migration and custom upgrades are not supported"))
	}
	return errors.Join(errs...)
}

// autopilotJSON is the API's form, with durations as strings.
type autopilotJSON struct {
	CleanupDeadServers      bool
	LastContactThreshold    jsonDuration
	MaxTrailingLogs         uint64
	MinQuorum               uint64
	ServerStabilizationTime jsonDuration
	EnableRedundancyZones   bool
	DisableUpgradeMigration bool
	EnableCustomUpgrades    bool
	CreateIndex             uint64
	ModifyIndex             uint64
}

// MarshalJSON writes durations as strings, which the public client insists on.
func (c *AutopilotConfig) MarshalJSON() ([]byte, error) {
	return json.Marshal(autopilotJSON{
		c.CleanupDeadServers, jsonDuration(c.LastContactThreshold), c.MaxTrailingLogs, c.MinQuorum,
		jsonDuration(c.ServerStabilizationTime), c.EnableRedundancyZones, c.DisableUpgradeMigration,
		c.EnableCustomUpgrades, c.CreateIndex, c.ModifyIndex,
	})
}

// UnmarshalJSON reads durations as strings or nanoseconds.
func (c *AutopilotConfig) UnmarshalJSON(b []byte) error {
	var j autopilotJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("decode autopilot configuration: %w", err)
	}
	*c = AutopilotConfig{
		CleanupDeadServers: j.CleanupDeadServers, LastContactThreshold: time.Duration(j.LastContactThreshold),
		MaxTrailingLogs: j.MaxTrailingLogs, MinQuorum: j.MinQuorum,
		ServerStabilizationTime: time.Duration(j.ServerStabilizationTime), EnableRedundancyZones: j.EnableRedundancyZones,
		DisableUpgradeMigration: j.DisableUpgradeMigration, EnableCustomUpgrades: j.EnableCustomUpgrades,
		CreateIndex: j.CreateIndex, ModifyIndex: j.ModifyIndex,
	}
	return nil
}

type jsonDuration time.Duration

func (d jsonDuration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

func (d *jsonDuration) UnmarshalJSON(b []byte) error {
	v, err := ParseJSONDuration(b)
	*d = jsonDuration(v)
	return err
}

// ParseJSONDuration reads a duration given as a string ("90s", "" for none) or as integer nanoseconds.
func ParseJSONDuration(b []byte) (time.Duration, error) {
	var s string
	if err := json.Unmarshal(b, &s); err == nil {
		if s == "" {
			return 0, nil
		}
		return time.ParseDuration(s)
	}
	var n int64
	if err := json.Unmarshal(b, &n); err != nil {
		return 0, fmt.Errorf("%s is neither a duration string nor whole nanoseconds", b)
	}
	return time.Duration(n), nil
}

// AutopilotSetConfigRequest is Operator.AutopilotSetConfiguration and Raft type 24. With CAS the change is
// made only if Config.ModifyIndex is still the stored one.
type AutopilotSetConfigRequest struct {
	Datacenter string
	Config     AutopilotConfig
	CAS        bool
	WriteRequest
}

// SchedulerConfiguration is kept for the compatible API; nothing here schedules (wire.md §6.3).
type SchedulerConfiguration struct {
	SchedulerAlgorithm            string
	PreemptionConfig              PreemptionConfig
	MemoryOversubscriptionEnabled bool
	RejectJobRegistration         bool
	PauseEvalBroker               bool
	NodeLimitForFeasibilityChecks uint64
	CreateIndex                   uint64
	ModifyIndex                   uint64
}

// PreemptionConfig is a part of SchedulerConfiguration.
type PreemptionConfig struct {
	SystemSchedulerEnabled   bool
	SysBatchSchedulerEnabled bool
	BatchSchedulerEnabled    bool
	ServiceSchedulerEnabled  bool
}

// DefaultSchedulerConfiguration is what a leader writes when there is none.
func DefaultSchedulerConfiguration() *SchedulerConfiguration {
	return &SchedulerConfiguration{SchedulerAlgorithm: "binpack", PreemptionConfig: PreemptionConfig{SystemSchedulerEnabled: true}}
}

// Validate reports what is wrong with a configuration that is about to be stored.
func (c *SchedulerConfiguration) Validate() error {
	switch c.SchedulerAlgorithm {
	case "binpack", "spread", "":
		return nil
	}
	return fmt.Errorf("scheduler algorithm %q is not known; want binpack or spread", c.SchedulerAlgorithm)
}

// SchedulerSetConfigRequest is Operator.SchedulerSetConfiguration and Raft type 30.
type SchedulerSetConfigRequest struct {
	Config SchedulerConfiguration
	CAS    bool
	WriteRequest
}

// SchedulerConfigResponse is the reply of Operator.SchedulerGetConfiguration.
type SchedulerConfigResponse struct {
	SchedulerConfig *SchedulerConfiguration
	QueryMeta
}

// SchedulerSetConfigResponse is the reply of Operator.SchedulerSetConfiguration.
type SchedulerSetConfigResponse struct {
	Updated bool
	WriteMeta
}

// Namespace is kept for imported data; only "default" exists by itself. Parts that are not read are Raw.
type Namespace struct {
	Name                  string
	Description           string
	Quota                 string
	Capabilities          Raw
	NodePoolConfiguration Raw
	VaultConfiguration    Raw
	ConsulConfiguration   Raw
	Meta                  map[string]string
	RequiredExtraClaims   map[string]string
	OptionalExtraClaims   map[string]string
	Hash                  []byte
	CreateIndex           uint64
	ModifyIndex           uint64
}

// Copy returns a deep copy.
func (n *Namespace) Copy() *Namespace {
	if n == nil {
		return nil
	}
	c := *n
	c.Meta = maps.Clone(n.Meta)
	c.RequiredExtraClaims = maps.Clone(n.RequiredExtraClaims)
	c.OptionalExtraClaims = maps.Clone(n.OptionalExtraClaims)
	c.Hash = cloneBytes(n.Hash)
	for _, r := range []*Raw{&c.Capabilities, &c.NodePoolConfiguration, &c.VaultConfiguration, &c.ConsulConfiguration} {
		*r = cloneBytes(*r)
	}
	return &c
}

// NamespaceUpsertRequest is Raft type 64.
type NamespaceUpsertRequest struct {
	Namespaces []*Namespace
	WriteRequest
}

// NamespaceDeleteRequest is Raft type 65.
type NamespaceDeleteRequest struct {
	Namespaces []string
	WriteRequest
}

// IndexEntry is the last index that changed a table, as state and snapshots keep it.
type IndexEntry struct {
	Key   string
	Value uint64
}

// RaftServer is one server of the Raft configuration.
type RaftServer struct {
	ID           string
	Node         string // "<name>.<region>" or "(unknown)"
	Address      string
	Leader       bool
	Voter        bool
	RaftProtocol string
}

// RaftConfigurationResponse is the reply of Operator.RaftGetConfiguration.
type RaftConfigurationResponse struct {
	Servers []*RaftServer
	Index   uint64
}

// RaftPeerRequest is Operator.RaftRemovePeerByID (ID) and TransferLeadershipToPeer (ID or Address).
type RaftPeerRequest struct {
	ID      string
	Address string
	WriteRequest
}

// RaftIDAddress names a server in LeadershipTransferResponse.
type RaftIDAddress struct {
	Address string
	ID      string
}

// LeadershipTransferResponse is the reply of Operator.TransferLeadershipToPeer.
type LeadershipTransferResponse struct {
	From RaftIDAddress
	To   RaftIDAddress
	Noop bool
	Err  error
	WriteMeta
}

// OperatorHealthReply is the reply of Operator.ServerHealth.
type OperatorHealthReply struct {
	Healthy          bool
	FailureTolerance int
	Servers          []ServerHealth
	Leader           string
	Voters           []string
}

// ServerHealth is autopilot's view of one server.
type ServerHealth struct {
	ID          string
	Name        string
	Address     string
	SerfStatus  string
	Version     string
	Leader      bool
	LastContact time.Duration
	LastTerm    uint64
	LastIndex   uint64
	Healthy     bool
	Voter       bool
	StableSince time.Time
}

// MarshalJSON writes LastContact as a duration string, which the public client insists on.
func (h ServerHealth) MarshalJSON() ([]byte, error) {
	type plain ServerHealth
	return json.Marshal(struct {
		plain
		LastContact jsonDuration
	}{plain(h), jsonDuration(h.LastContact)})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (h *ServerHealth) UnmarshalJSON(b []byte) error {
	type plain ServerHealth
	aux := struct {
		*plain
		LastContact jsonDuration
	}{plain: (*plain)(h)}
	if err := json.Unmarshal(b, &aux); err != nil {
		return fmt.Errorf("decode server health: %w", err)
	}
	h.LastContact = time.Duration(aux.LastContact)
	return nil
}

// RaftStatsResponse is the reply of Status.RaftStats.
type RaftStatsResponse struct {
	LastContact string // Go duration, "never" before the first
	LastTerm    uint64
	LastIndex   uint64
}

// ServerMembersResponse is the reply of Status.Members.
type ServerMembersResponse struct {
	ServerName   string
	ServerRegion string
	ServerDC     string
	Members      []*ServerMember
}

// ServerMember is one member of the gossip pool.
type ServerMember struct {
	Name        string
	Addr        net.IP
	Port        uint16
	Tags        map[string]string
	Status      string
	ProtocolMin uint8
	ProtocolMax uint8
	ProtocolCur uint8
	DelegateMin uint8
	DelegateMax uint8
	DelegateCur uint8
}

// ClientIntroductionRequest is ACL.CreateClientIntroductionToken.
type ClientIntroductionRequest struct {
	TTL      time.Duration
	NodeName string
	NodePool string
	// NodeClass and NodeDatacenter are ours; empty leaves them to the node.
	NodeClass      string
	NodeDatacenter string
	WriteRequest
}

// ClientIntroductionResponse carries the introduction identity.
type ClientIntroductionResponse struct {
	JWT string
}

// KeyUse notes that a record which this system does not keep was encrypted or signed with a root key, so that
// the key is not deleted from under it.
type KeyUse struct {
	KeyID string
	User  string // what uses it: "variable" or "allocation"
}

// OpaqueRecord is a snapshot record of a type that is kept but not read.
type OpaqueRecord struct {
	Type RecordType
	Data Raw // the msgpack value
}
