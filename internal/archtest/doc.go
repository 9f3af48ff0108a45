// Package archtest holds the rules of the code base that a compiler does not
// check, as tests. Nothing imports it; `make test` runs it.
//
// It owns three rules:
//
//   - the import ladder (ladder.go): which of our packages may import which.
//     The table there is the architecture; a package that is not in it fails.
//   - determinism (determinism.go, maporder.go): what the replicated state is
//     computed from. structs, state and fsm, and every helper of ours they
//     import, must come to the same bytes on every server and at every replay,
//     so they read no clock, random source, environment, file or socket, and
//     the order of a map never shows.
//   - no sleeping tests (sleep.go): a test waits for a condition or for the
//     fake clock of testing/synctest, never for time to pass.
//
// Each rule has a test on seeded violations that proves that it catches them,
// and that the right way next to the wrong one is let through.
//
// The rules read source and package lists by the go command; they need no
// network when the module's dependencies are there.
package archtest
