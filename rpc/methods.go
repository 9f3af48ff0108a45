package rpc

// registerMethods fills the method table, one resource after the other.
func (s *Server) registerMethods() {
	s.registerStatusMethods()
	s.registerNodeMethods()
	s.registerNodeReadMethods()
	s.registerNodeChangeMethods()
	s.registerNodePoolMethods()
	s.registerNodeIdentityMethods()
	s.registerAllocMethods()
	s.registerKeyringMethods()
	s.registerIntroductionMethods()
	s.registerOperatorMethods()
	s.registerSystemMethods()
	s.registerSnapshotMethods()
}

// Methods returns the names of all methods with how their callers are authenticated.
func (s *Server) Methods() map[string]Auth {
	out := make(map[string]Auth, len(s.methods))
	for name, m := range s.methods {
		out[name] = m.Auth
	}
	return out
}
