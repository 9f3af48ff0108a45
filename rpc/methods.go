package rpc

// registerMethods fills the method table, one resource after the other.
func (s *Server) registerMethods() {
	s.registerStatusMethods()
	s.registerNodeMethods()
	s.registerNodeReadMethods()
	s.registerNodeChangeMethods()
	s.registerNodePoolMethods()
	s.registerNodeIdentityMethods()
	s.registerNodeMetaMethods()
	s.registerClientStatsMethods()
	s.registerAllocMethods()
	s.registerKeyringMethods()
	s.registerKeyringStatusMethods()
	s.registerIntroductionMethods()
	s.registerACLTokenMethods()
	s.registerACLPolicyMethods()
	s.registerACLRoleMethods()
	s.registerOneTimeTokenMethods()
	s.registerOperatorMethods()
	s.registerSystemMethods()
	s.registerAgentMethods()
	s.registerAgentReportMethods()
	s.registerSearchMethods()
	s.registerNamespaceMethods()
	s.registerAbsentMethods()
	s.registerSnapshotMethods()
	s.registerEventMethods()
	s.registerMonitorMethods()
}

// Methods returns who may call each method, the streaming ones among them.
func (s *Server) Methods() map[string]Access {
	out := make(map[string]Access, len(s.methods)+len(s.streams))
	for name, m := range s.methods {
		out[name] = m.access
	}
	for name, m := range s.streams {
		out[name] = m.access
	}
	return out
}
