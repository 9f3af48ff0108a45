package structs

import "fmt"

// MessageType is the first byte of a Raft command and says which request follows it. The numbers are those
// of wire.md §6.2 and are append-only: logs written by any version must stay readable. 100 to 126 are ours.
type MessageType uint8

// IgnoreUnknownFlag, set on a message type, lets a server that does not know the type skip the entry
// instead of stopping.
const IgnoreUnknownFlag MessageType = 128

const (
	NodeRegisterMsg                  MessageType = 0
	NodeDeregisterMsg                MessageType = 1
	NodeUpdateStatusMsg              MessageType = 2
	NodeUpdateDrainMsg               MessageType = 3
	JobRegisterMsg                   MessageType = 4
	JobDeregisterMsg                 MessageType = 5
	EvalUpdateMsg                    MessageType = 6
	EvalDeleteMsg                    MessageType = 7
	AllocUpdateMsg                   MessageType = 8
	AllocClientUpdateMsg             MessageType = 9
	ReconcileJobSummariesMsg         MessageType = 10
	VaultAccessorRegisterMsg         MessageType = 11
	VaultAccessorDeregisterMsg       MessageType = 12
	ApplyPlanResultsMsg              MessageType = 13
	DeploymentStatusUpdateMsg        MessageType = 14
	DeploymentPromoteMsg             MessageType = 15
	DeploymentAllocHealthMsg         MessageType = 16
	DeploymentDeleteMsg              MessageType = 17
	JobStabilityMsg                  MessageType = 18
	ACLPolicyUpsertMsg               MessageType = 19
	ACLPolicyDeleteMsg               MessageType = 20
	ACLTokenUpsertMsg                MessageType = 21
	ACLTokenDeleteMsg                MessageType = 22
	ACLTokenBootstrapMsg             MessageType = 23
	AutopilotMsg                     MessageType = 24
	UpsertNodeEventsMsg              MessageType = 25
	JobBatchDeregisterMsg            MessageType = 26
	AllocUpdateDesiredTransitionMsg  MessageType = 27
	NodeUpdateEligibilityMsg         MessageType = 28
	BatchNodeUpdateDrainMsg          MessageType = 29
	SchedulerConfigMsg               MessageType = 30
	NodeBatchDeregisterMsg           MessageType = 31
	ClusterMetadataMsg               MessageType = 32
	ServiceIdentityRegisterMsg       MessageType = 33
	ServiceIdentityDeregisterMsg     MessageType = 34
	CSIVolumeRegisterMsg             MessageType = 35
	CSIVolumeDeregisterMsg           MessageType = 36
	CSIVolumeClaimMsg                MessageType = 37
	ScalingEventRegisterMsg          MessageType = 38
	CSIVolumeClaimBatchMsg           MessageType = 39
	CSIPluginDeleteMsg               MessageType = 40
	EventSinkUpsertMsg               MessageType = 41
	EventSinkDeleteMsg               MessageType = 42
	EventSinkBatchProgressMsg        MessageType = 43
	OneTimeTokenUpsertMsg            MessageType = 44
	OneTimeTokenDeleteMsg            MessageType = 45
	OneTimeTokenExpireMsg            MessageType = 46
	ServiceRegistrationUpsertMsg     MessageType = 47
	ServiceRegistrationDeleteByIDMsg MessageType = 48
	ServiceRegistrationDeleteNodeMsg MessageType = 49
	VarApplyStateMsg                 MessageType = 50
	RootKeyMetaUpsertMsg             MessageType = 51
	RootKeyDeleteMsg                 MessageType = 52
	ACLRolesUpsertMsg                MessageType = 53
	ACLRolesDeleteMsg                MessageType = 54
	ACLAuthMethodsUpsertMsg          MessageType = 55
	ACLAuthMethodsDeleteMsg          MessageType = 56
	ACLBindingRulesUpsertMsg         MessageType = 57
	ACLBindingRulesDeleteMsg         MessageType = 58
	NodePoolUpsertMsg                MessageType = 59
	NodePoolDeleteMsg                MessageType = 60
	JobVersionTagMsg                 MessageType = 61
	RootKeyUpsertMsg                 MessageType = 62
	NamespaceUpsertMsg               MessageType = 64
	NamespaceDeleteMsg               MessageType = 65
	HostVolumeRegisterMsg            MessageType = 75
	HostVolumeDeleteMsg              MessageType = 76
	TaskGroupVolumeClaimDeleteMsg    MessageType = 77

	// StateDigestCheckMsg is ours, and changes nothing. It is written with IgnoreUnknownFlag.
	StateDigestCheckMsg MessageType = 100
	// FeatureGateMsg is ours. It is written with IgnoreUnknownFlag.
	FeatureGateMsg MessageType = 101
)

// messageNames names every type that some version has written. It is also the list of known types: a type
// that is in it but not dispatched by the FSM is skipped and counted, a type that is not stops the server.
var messageNames = map[MessageType]string{
	NodeRegisterMsg: "NodeRegister", NodeDeregisterMsg: "NodeDeregister", NodeUpdateStatusMsg: "NodeUpdateStatus",
	NodeUpdateDrainMsg: "NodeUpdateDrain", JobRegisterMsg: "JobRegister", JobDeregisterMsg: "JobDeregister",
	EvalUpdateMsg: "EvalUpdate", EvalDeleteMsg: "EvalDelete", AllocUpdateMsg: "AllocUpdate",
	AllocClientUpdateMsg: "AllocClientUpdate", ReconcileJobSummariesMsg: "ReconcileJobSummaries",
	VaultAccessorRegisterMsg: "VaultAccessorRegister", VaultAccessorDeregisterMsg: "VaultAccessorDeregister",
	ApplyPlanResultsMsg: "ApplyPlanResults", DeploymentStatusUpdateMsg: "DeploymentStatusUpdate",
	DeploymentPromoteMsg: "DeploymentPromote", DeploymentAllocHealthMsg: "DeploymentAllocHealth",
	DeploymentDeleteMsg: "DeploymentDelete", JobStabilityMsg: "JobStability", ACLPolicyUpsertMsg: "ACLPolicyUpsert",
	ACLPolicyDeleteMsg: "ACLPolicyDelete", ACLTokenUpsertMsg: "ACLTokenUpsert", ACLTokenDeleteMsg: "ACLTokenDelete",
	ACLTokenBootstrapMsg: "ACLTokenBootstrap", AutopilotMsg: "Autopilot", UpsertNodeEventsMsg: "UpsertNodeEvents",
	JobBatchDeregisterMsg: "JobBatchDeregister", AllocUpdateDesiredTransitionMsg: "AllocUpdateDesiredTransition",
	NodeUpdateEligibilityMsg: "NodeUpdateEligibility", BatchNodeUpdateDrainMsg: "BatchNodeUpdateDrain",
	SchedulerConfigMsg: "SchedulerConfig", NodeBatchDeregisterMsg: "NodeBatchDeregister",
	ClusterMetadataMsg: "ClusterMetadata", ServiceIdentityRegisterMsg: "ServiceIdentityAccessorRegister",
	ServiceIdentityDeregisterMsg: "ServiceIdentityAccessorDeregister", CSIVolumeRegisterMsg: "CSIVolumeRegister",
	CSIVolumeDeregisterMsg: "CSIVolumeDeregister", CSIVolumeClaimMsg: "CSIVolumeClaim",
	ScalingEventRegisterMsg: "ScalingEventRegister", CSIVolumeClaimBatchMsg: "CSIVolumeClaimBatch",
	CSIPluginDeleteMsg: "CSIPluginDelete", EventSinkUpsertMsg: "EventSinkUpsert", EventSinkDeleteMsg: "EventSinkDelete",
	EventSinkBatchProgressMsg: "EventSinkBatchProgress", OneTimeTokenUpsertMsg: "OneTimeTokenUpsert",
	OneTimeTokenDeleteMsg: "OneTimeTokenDelete", OneTimeTokenExpireMsg: "OneTimeTokenExpire",
	ServiceRegistrationUpsertMsg: "ServiceRegistrationUpsert", ServiceRegistrationDeleteByIDMsg: "ServiceRegistrationDeleteByID",
	ServiceRegistrationDeleteNodeMsg: "ServiceRegistrationDeleteByNodeID", VarApplyStateMsg: "VarApplyState",
	RootKeyMetaUpsertMsg: "RootKeyMetaUpsert", RootKeyDeleteMsg: "WrappedRootKeysDelete", ACLRolesUpsertMsg: "ACLRolesUpsert",
	ACLRolesDeleteMsg: "ACLRolesDeleteByID", ACLAuthMethodsUpsertMsg: "ACLAuthMethodsUpsert",
	ACLAuthMethodsDeleteMsg: "ACLAuthMethodsDelete", ACLBindingRulesUpsertMsg: "ACLBindingRulesUpsert",
	ACLBindingRulesDeleteMsg: "ACLBindingRulesDelete", NodePoolUpsertMsg: "NodePoolUpsert", NodePoolDeleteMsg: "NodePoolDelete",
	JobVersionTagMsg: "JobVersionTag", RootKeyUpsertMsg: "WrappedRootKeysUpsert", NamespaceUpsertMsg: "NamespaceUpsert",
	NamespaceDeleteMsg: "NamespaceDelete", HostVolumeRegisterMsg: "HostVolumeRegister", HostVolumeDeleteMsg: "HostVolumeDelete",
	TaskGroupVolumeClaimDeleteMsg: "TaskGroupHostVolumeClaimDelete", StateDigestCheckMsg: "StateDigestCheck",
	FeatureGateMsg: "FeatureGate",
}

// Known reports whether some version of the protocol has written the type. 63 was never assigned and 66 to
// 74 belong to a commercial edition: a log that holds them can't be applied faithfully.
func (t MessageType) Known() bool { _, ok := messageNames[t]; return ok }

// String returns the type's name, or "unknown(N)".
func (t MessageType) String() string {
	if n, ok := messageNames[t]; ok {
		return n
	}
	return fmt.Sprintf("unknown(%d)", uint8(t))
}

// RecordType is the byte before each record of a snapshot's state.bin (wire.md §7.2). Append-only.
type RecordType uint8

const (
	NodeRecord            RecordType = 0
	IndexRecord           RecordType = 2
	TimeTableRecord       RecordType = 5
	VaultAccessorRecord   RecordType = 8
	ACLPolicyRecord       RecordType = 11
	ACLTokenRecord        RecordType = 12
	SchedulerConfigRecord RecordType = 13
	ClusterMetadataRecord RecordType = 14
	ServiceTokenRecord    RecordType = 15
	EventSinkRecord       RecordType = 20
	RootKeyMetaRecord     RecordType = 24
	ACLRoleRecord         RecordType = 25
	NodePoolRecord        RecordType = 28
	RootKeyRecord         RecordType = 30
	NamespaceRecord       RecordType = 64

	// AutopilotConfigRecord is ours: the compatible format has no record for it and loses it at restore.
	AutopilotConfigRecord RecordType = 100
	// KeyUseRecord is ours: a root key that a skipped log entry of another product's record uses.
	KeyUseRecord RecordType = 101
	// StateBaseRecord is ours: what the state grew from. A snapshot without one was written by another system.
	StateBaseRecord RecordType = 102
	// FeatureGateRecord is ours: a feature that all servers know.
	FeatureGateRecord RecordType = 103
	// OneTimeTokenRecord is ours: the compatible format has no record for them, and servers that restore would differ.
	OneTimeTokenRecord RecordType = 104
)

var recordNames = map[RecordType]string{
	NodeRecord: "Node", 1: "Job", IndexRecord: "Index", 3: "Evaluation", 4: "Allocation", TimeTableRecord: "TimeTable",
	6: "PeriodicLaunch", 7: "JobSummary", VaultAccessorRecord: "VaultAccessor", 9: "JobVersion", 10: "Deployment",
	ACLPolicyRecord: "ACLPolicy", ACLTokenRecord: "ACLToken", SchedulerConfigRecord: "SchedulerConfig", ClusterMetadataRecord: "ClusterMetadata",
	ServiceTokenRecord: "ServiceIdentityTokenAccessor", 16: "ScalingPolicy", 17: "CSIPlugin", 18: "CSIVolume",
	19: "ScalingEvents", EventSinkRecord: "EventSink", 21: "ServiceRegistration", 22: "Variables", 23: "VariablesQuota",
	RootKeyMetaRecord: "RootKeyMeta", ACLRoleRecord: "ACLRole", 26: "ACLAuthMethod", 27: "ACLBindingRule", NodePoolRecord: "NodePool",
	29: "JobSubmission", RootKeyRecord: "RootKey", 31: "HostVolume", NamespaceRecord: "Namespace",
	AutopilotConfigRecord: "AutopilotConfig", KeyUseRecord: "KeyUse",
	StateBaseRecord: "StateBase", FeatureGateRecord: "FeatureGate", OneTimeTokenRecord: "OneTimeToken",
}

// Known reports whether the record type has a meaning in some version of the format.
func (t RecordType) Known() bool { _, ok := recordNames[t]; return ok }

// Compatible reports whether wire.md §7.2 lists the record type as one that readers take. Readers refuse all others.
func (t RecordType) Compatible() bool {
	return t.Known() && t < AutopilotConfigRecord && t != EventSinkRecord
}

// String returns the record type's name, or "unknown(N)".
func (t RecordType) String() string {
	if n, ok := recordNames[t]; ok {
		return n
	}
	return fmt.Sprintf("unknown(%d)", uint8(t))
}
