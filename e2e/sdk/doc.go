// Package sdk holds a three-server cluster of real processes to what users of the public Go SDK,
// github.com/hashicorp/nomad/api, expect of it: the tests here do with the unmodified SDK what its users do, and compare every
// answer with what was put in.
//
// The tests have the build tag e2e (make e2e). They share one cluster and its nodes, on which a test leaves behind nothing
// that another could stumble over. The SDK's own tests are run by e2e/conformance.
package sdk
