// Command conformance runs the tests of the public Go SDK, github.com/hashicorp/nomad/api, against Rollcall: it builds our
// binary, puts it on the PATH under the name that those tests start their servers by, and says which tests pass.
//
// The tests are taken from the module cache, of the version in go.mod, and run in a copy outside of this repository. Those
// that need what Rollcall does not have stand in not_applicable.txt, a line and a reason each; every other one must pass.
// It takes six minutes, since one of them waits out a blocking query of five.
// A test that is skipped, and a line of the list without a test, count as failures, so that neither hides anything.
//
// Many tests of the SDK start no server. They say nothing about Rollcall, so they are only counted.
package main
