package keyring

// len returns how many entries are held, those in both generations counted twice.
func (c *verifyCache) len() int {
	n := 0
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += len(s.recent) + len(s.older)
		s.mu.Unlock()
	}
	return n
}
