// Package replay looks into a stopped server's data directory, or a copy of one, and applies its Raft log through this
// version's state machine: an upgrade can be rehearsed, and a log be read, before anything is started.
//
// Open finds the log and the snapshots. Dir.Info describes them, Dir.Entries decodes the log entry by entry with what
// is secret masked, Dir.Run replays the newest usable snapshot and the entries after it, and reports what each type of
// entry came to, what was brought up to date, and the digest of the state. Result.View shows that state, Compare what
// makes it differ from another.
//
// It promises:
//   - nothing is ever written to the data directory, and a directory that a server holds is refused;
//   - the same log gives the same digest, in batches of any size, in any time zone, again and again;
//   - no content makes it panic: an entry that can't be understood, a gap, a type of a later version or a file that was
//     cut off is a Problem with its place. A replay stops at the first one unless Options.KeepGoing is set, and Result
//     lists it either way;
//   - secrets don't leave it: entries are shown with theirs masked, the state without them.
//
// It can't know which of the last entries were committed: a server that crashed may hold some that its cluster dropped
// later. Options.Until leaves them out.
//
// The commands "operator raft info|logs|state|replay" call it. It is for one goroutine; a context ends its long calls.
package replay
