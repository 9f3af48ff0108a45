package structs

import "testing"

// The numbers are on disk and on the wire: this list only ever grows.
var goldenMessages = map[MessageType]string{
	0: "NodeRegister", 1: "NodeDeregister", 2: "NodeUpdateStatus", 3: "NodeUpdateDrain", 4: "JobRegister",
	5: "JobDeregister", 6: "EvalUpdate", 7: "EvalDelete", 8: "AllocUpdate", 9: "AllocClientUpdate",
	10: "ReconcileJobSummaries", 11: "VaultAccessorRegister", 12: "VaultAccessorDeregister",
	13: "ApplyPlanResults", 14: "DeploymentStatusUpdate", 15: "DeploymentPromote", 16: "DeploymentAllocHealth",
	17: "DeploymentDelete", 18: "JobStability", 19: "ACLPolicyUpsert", 20: "ACLPolicyDelete",
	21: "ACLTokenUpsert", 22: "ACLTokenDelete", 23: "ACLTokenBootstrap", 24: "Autopilot", 25: "UpsertNodeEvents",
	26: "JobBatchDeregister", 27: "AllocUpdateDesiredTransition", 28: "NodeUpdateEligibility",
	29: "BatchNodeUpdateDrain", 30: "SchedulerConfig", 31: "NodeBatchDeregister", 32: "ClusterMetadata",
	33: "ServiceIdentityAccessorRegister", 34: "ServiceIdentityAccessorDeregister", 35: "CSIVolumeRegister",
	36: "CSIVolumeDeregister", 37: "CSIVolumeClaim", 38: "ScalingEventRegister", 39: "CSIVolumeClaimBatch",
	40: "CSIPluginDelete", 41: "EventSinkUpsert", 42: "EventSinkDelete", 43: "EventSinkBatchProgress",
	44: "OneTimeTokenUpsert", 45: "OneTimeTokenDelete", 46: "OneTimeTokenExpire", 47: "ServiceRegistrationUpsert",
	48: "ServiceRegistrationDeleteByID", 49: "ServiceRegistrationDeleteByNodeID", 50: "VarApplyState",
	51: "RootKeyMetaUpsert", 52: "WrappedRootKeysDelete", 53: "ACLRolesUpsert", 54: "ACLRolesDeleteByID",
	55: "ACLAuthMethodsUpsert", 56: "ACLAuthMethodsDelete", 57: "ACLBindingRulesUpsert",
	58: "ACLBindingRulesDelete", 59: "NodePoolUpsert", 60: "NodePoolDelete", 61: "JobVersionTag",
	62: "WrappedRootKeysUpsert", 64: "NamespaceUpsert", 65: "NamespaceDelete", 75: "HostVolumeRegister",
	76: "HostVolumeDelete", 77: "TaskGroupHostVolumeClaimDelete", 100: "StateDigestCheck", 101: "FeatureGate",
}

var goldenRecords = map[RecordType]string{
	0: "Node", 1: "Job", 2: "Index", 3: "Evaluation", 4: "Allocation", 5: "TimeTable", 6: "PeriodicLaunch",
	7: "JobSummary", 8: "VaultAccessor", 9: "JobVersion", 10: "Deployment", 11: "ACLPolicy", 12: "ACLToken",
	13: "SchedulerConfig", 14: "ClusterMetadata", 15: "ServiceIdentityTokenAccessor", 16: "ScalingPolicy",
	17: "CSIPlugin", 18: "CSIVolume", 19: "ScalingEvents", 20: "EventSink", 21: "ServiceRegistration",
	22: "Variables", 23: "VariablesQuota", 24: "RootKeyMeta", 25: "ACLRole", 26: "ACLAuthMethod",
	27: "ACLBindingRule", 28: "NodePool", 29: "JobSubmission", 30: "RootKey", 31: "HostVolume", 64: "Namespace",
	100: "AutopilotConfig", 101: "KeyUse", 102: "StateBase", 103: "FeatureGate", 104: "OneTimeToken",
}

func TestMessageTypesArePinned(t *testing.T) {
	for i := range 256 {
		typ := MessageType(i)
		want, known := goldenMessages[typ]
		if typ.Known() != known || known && typ.String() != want {
			t.Errorf("type %d is %s (known: %v), want %q", i, typ, typ.Known(), want)
		}
	}
}

func TestRecordTypesArePinned(t *testing.T) {
	for i := range 256 {
		typ := RecordType(i)
		want, known := goldenRecords[typ]
		if typ.Known() != known || known && typ.String() != want {
			t.Errorf("type %d is %s (known: %v), want %q", i, typ, typ.Known(), want)
		}
	}
}

// TestConstantsArePinned ties the constants that commands are encoded and dispatched with to the numbers.
func TestConstantsArePinned(t *testing.T) {
	for typ, want := range map[MessageType]uint8{
		NodeRegisterMsg: 0, NodeDeregisterMsg: 1, NodeUpdateStatusMsg: 2, NodeUpdateDrainMsg: 3, AllocUpdateMsg: 8,
		AllocClientUpdateMsg: 9, ApplyPlanResultsMsg: 13, AutopilotMsg: 24, UpsertNodeEventsMsg: 25,
		NodeUpdateEligibilityMsg: 28, BatchNodeUpdateDrainMsg: 29, SchedulerConfigMsg: 30, NodeBatchDeregisterMsg: 31,
		ClusterMetadataMsg: 32, VarApplyStateMsg: 50, RootKeyMetaUpsertMsg: 51, RootKeyDeleteMsg: 52,
		NodePoolUpsertMsg: 59, NodePoolDeleteMsg: 60, RootKeyUpsertMsg: 62, NamespaceUpsertMsg: 64,
		NamespaceDeleteMsg: 65, StateDigestCheckMsg: 100, FeatureGateMsg: 101, IgnoreUnknownFlag: 128,
	} {
		if uint8(typ) != want {
			t.Errorf("%s is %d, want %d", typ, uint8(typ), want)
		}
	}
	for typ, want := range map[RecordType]uint8{
		NodeRecord: 0, IndexRecord: 2, TimeTableRecord: 5, SchedulerConfigRecord: 13, ClusterMetadataRecord: 14,
		RootKeyMetaRecord: 24, NodePoolRecord: 28, RootKeyRecord: 30, NamespaceRecord: 64, AutopilotConfigRecord: 100,
		KeyUseRecord: 101, StateBaseRecord: 102, FeatureGateRecord: 103,
	} {
		if uint8(typ) != want {
			t.Errorf("%s is %d, want %d", typ, uint8(typ), want)
		}
	}
}
