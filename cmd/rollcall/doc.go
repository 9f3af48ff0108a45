// Command rollcall is the whole program: the agent (server, client or both) and the commands that operators and scripts
// use against an agent's HTTP API.
//
// It owns the command line: names and flags of commands, what they print, and the exit codes (exit.go). One file holds one
// subcommand; app.go ties them together, output.go prints tables, JSON and templates, resolve.go turns ID prefixes into IDs.
//
// Every command promises: flags are written -like-this or --like-this and may stand anywhere; -json and -t print the same
// data for programs, without headings or short forms; results go to standard output and everything else to standard error;
// control characters in names from the cluster never reach the terminal; Ctrl-C ends it.
//
// It refuses logic of its own: decisions are made by the servers, package config reads configuration, package agent runs it.
package main
