// Package snapshotagent takes snapshots of a cluster on a schedule, keeps them in a directory or an S3-compatible
// bucket, and proves of each that it restores.
//
// A round saves a snapshot from a server into a temporary file, verifies it, stores it, reads it back from where it is
// stored, verifies what came back, and builds the whole state from it as a server's restore does; the number of records and the
// digest of the state are logged. Only then does it delete what the retention no longer covers.
//
// It owns the names of what it stores, <name>-<UTC time>-<index>.snap, and touches nothing else there.
//
// It promises:
//   - what is stored under such a name is a whole archive, or nothing is: directories and buckets show a file only when
//     all of it is there, and one that comes back damaged is deleted;
//   - a round that fails deletes nothing that was good, so the last good snapshot always stays;
//   - a restart does not take a snapshot early, so that restarting often can't push out old ones;
//   - Run ends only with its context. A failed round is logged, counted, and tried again soon.
//
// It refuses to schedule by the calendar, to encrypt, and to restore into a cluster. A drill takes as much memory as a
// server's state.
//
// The command "operator snapshot agent" calls it.
// Previous: cmd/rollcall. Next: api, snapshot, fsm.
package snapshotagent
