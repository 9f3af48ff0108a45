// Package fsm is the replicated state machine that Raft drives: it turns committed log entries into changes of
// state, and state into snapshots and back.
//
// It owns which message type and which snapshot record mean what. Both are tables: dispatch.go has the one for
// log entries, restore.go and persist.go those for records; the rows stand in the file of their resource
// (node.go, node_pool.go, key.go ...). To give a message a meaning, add a row. The effects themselves are package
// state's.
//
// It promises:
//   - applying the same log gives the same state and the same snapshot bytes on every server, one entry at a time
//     or in batches, from the start or from a snapshot, in any time zone;
//   - every command of a batch is atomic and has its own result: nil, an error, or what the command answers;
//   - nothing is skipped silently: entries of known types without a meaning here are counted (Skipped) and
//     logged, records without one are kept and written back as they came;
//   - an entry that can't be understood stops it for good: Config.OnFatal is called once, that entry and all
//     after it get the same error, nothing more is applied, and no snapshot claims that it was. Raft counts such
//     an entry as applied, so going on would be losing it;
//   - a server whose state is not the leader's stops, too, at the leader's next digest check. Every server remembers
//     the digests of its state at the same log indexes, and a check changes nothing (digest.go);
//   - a restore verifies everything before anything of it shows; one that fails leaves the old state in place;
//   - a snapshot that a follower has received is loaded after Raft has its answer, and the entries that follow it wait
//     for that (behind.go). Readers see the old state meanwhile; Settle says when the state is what Raft takes it for.
//
// It refuses clocks, randomness, and files other than the streams it is given: times, identifiers and signatures are
// decided by the endpoint that proposes a command. It never logs or returns the content of a request.
//
// Package server creates the FSM and hands it to Raft, which calls Apply, ApplyBatch, Snapshot and Restore from one
// goroutine. Endpoints read through State. ReadState and WriteState serve tools that work on files.
package fsm
