// Package snapshot reads and writes snapshots: the record stream that holds a whole state (state.bin, wire.md §7.2) and
// the archive around it (wire.md §7.1), with the tools that need no state: verify, inspect, diff and redact.
//
// The stream is one header, an empty msgpack map, and then records until the end, each a type byte and one msgpack
// value. There are no counts, lengths or checksums in it; the archive has them. An archive is a gzip-compressed tar
// file with exactly meta.json, state.bin and SHA256SUMS.
//
// The package owns the framing, the order of the types, and the limits under which bytes from elsewhere are read.
// What a record means is its caller's business: package fsm persists and restores state with it, package server
// saves and restores archives, and the commands walk them.
//
// It promises that
//   - a Writer given the same records in the same order writes the same bytes, whatever the order of Go maps
//     in them, and nothing that a Reader with default limits would refuse; Write does the same for archives,
//     whatever the number of processors;
//   - a Reader reports the end only between two records: anything else that is wrong gives a RecordError with
//     the record's number, type and offset;
//   - Verify and OpenRaftDir give a Verified only after everything in a snapshot was found good, to the last byte, and
//     an ArchiveError with file, member and offset otherwise. They leave no file behind, however they end;
//   - memory is that of the longest record and a few buffers, not that of the state, and is taken only for bytes
//     that have arrived, never for those a length field claims. Diff is the exception: it keeps about 150 bytes
//     for each record.
//
// It refuses to guess: it never skips a damaged record and never reads on after an error, and it refuses members and
// trailing data that no server writes. Readers and Writers are not safe for concurrent use; a Verified is.
package snapshot
