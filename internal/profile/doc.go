// Package profile takes runtime profiles of this process: what /v1/agent/pprof answers with, on the agent that is asked or
// on the server or node that the question is passed on to.
//
// It bounds how long a profile may run and how large it may get. The command line comes without the values of what may be
// a secret. It decides nothing about who may ask.
package profile
