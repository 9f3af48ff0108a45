// Package snapshot reads and writes the record stream that holds a whole state: state.bin of a snapshot
// (wire.md §7.2). It is one header, an empty msgpack map, and then records until the end, each a type byte
// and one msgpack value. There are no counts, lengths or checksums in it.
//
// The package owns the framing, the order of the types, and the limits under which a stream from elsewhere is
// read. What a record means is its caller's business: package fsm persists and restores state with it, and
// the commands that inspect snapshots walk it.
//
// It promises that
//   - a Writer given the same records in the same order writes the same bytes, whatever the order of Go maps
//     in them, and nothing that a Reader with default limits would refuse;
//   - a Reader reports the end only between two records: anything else that is wrong gives a RecordError with
//     the record's number, type and offset;
//   - both hold one record in memory at a time, and a Reader takes memory only for bytes that have arrived,
//     never for those a length field claims.
//
// It refuses to guess: it never skips a damaged record and never reads on after an error. Readers and Writers
// are not safe for concurrent use.
package snapshot
