// Package version says what this binary is: its own release, the commit it was
// built from, and the protocol level it shows to peers. It owns those values
// and nothing else; `make build` stamps them, the version command, the agent's
// log, its fingerprint and the gossip tags read them.
package version

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Set by the linker (see Makefile). Never assigned at run time, so they may be
// read from any goroutine.
var (
	// Version is the release of this program, a semantic version without "v".
	Version = "0.1.0-dev"
	// Commit is the abbreviated git commit, "-dirty" appended when the tree had
	// changes. Empty in a build that make did not do; use Get.
	Commit = ""
)

// CompatBuild is the Nomad level this program speaks. Servers advertise it in
// the serf tag "build", where peers' feature gates compare it: a tag that does
// not parse, or is below 1.11.0, switches node identities off in the whole
// region. It moves only with the wire facts that the code was checked against,
// never with our own releases.
const CompatBuild = "2.0.5"

// Info is everything the binary knows of itself.
type Info struct {
	Version     string
	Commit      string // "unknown" when neither make nor the Go tool recorded one
	GoVersion   string
	CompatBuild string
}

// Get describes the running binary. Without a stamped commit it uses the one
// that the Go tool records for builds from a checkout or a module download.
func Get() Info {
	info := Info{Version: Version, Commit: Commit, GoVersion: runtime.Version(), CompatBuild: CompatBuild}
	if info.Commit == "" {
		build, _ := debug.ReadBuildInfo()
		info.Commit = recordedCommit(build)
	}
	return info
}

// recordedCommit reads the commit from Go's own build record, which may be nil.
func recordedCommit(build *debug.BuildInfo) string {
	if build == nil {
		return "unknown"
	}
	revision, modified := "", false
	for _, s := range build.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value
		case "vcs.modified":
			modified = s.Value == "true"
		}
	}
	if revision == "" {
		return "unknown"
	}
	const abbreviated = 12 // as in the Makefile
	if len(revision) > abbreviated {
		revision = revision[:abbreviated]
	}
	if modified {
		revision += "-dirty"
	}
	return revision
}

// Human is the one line for people: log openings and the version command.
func Human() string {
	i := Get()
	return fmt.Sprintf("Rollcall v%s (commit %s, %s, speaks Nomad %s)", i.Version, i.Commit, i.GoVersion, i.CompatBuild)
}
