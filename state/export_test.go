package state

// SetUndigested makes the store leave its digest as it is, or follow it again, to measure what following costs.
func SetUndigested(s *Store, off bool) { s.undigested = off }
