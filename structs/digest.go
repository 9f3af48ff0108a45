package structs

// StateDigestCheck is Raft type 100: the leader says what the digest of its state was once it had applied the
// entries up to Index. A server whose state had another one then has gone astray.
type StateDigestCheck struct {
	Index   uint64
	Digest  []byte // 32 bytes
	Version uint64 // how the digest is computed; those of other versions can't be compared
	Base    string // what the state grew from, see StateBase; digests of states from another base can't either
	WriteRequest
}

// StateBase says what a state grew from: empty for the one that a new cluster starts with, else the digest of the
// foreign snapshot that it was restored from, in hexadecimal. Another system's servers may have taken theirs at
// different entries, and what lies between those has no effect here: states that grew from two of them differ for
// ever, with nothing wrong.
type StateBase struct {
	ID string
}

// StateDigest is a server's state digest and how its comparisons with the leader's went since the server started.
type StateDigest struct {
	Index          uint64 // the state is the one after this log entry
	Digest         string // hexadecimal
	Version        uint64 // how it is computed
	Base           string // what the state grew from, see StateBase
	Checks         uint64 // comparisons that found the same
	Skipped        uint64 // checks that there was nothing to compare with
	LastCheckIndex uint64 // the last log entry after which the states were found to be the same
}
