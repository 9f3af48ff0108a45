package version

import (
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	goversion "github.com/hashicorp/go-version"
)

func TestCompatBuildPassesPeersGates(t *testing.T) {
	got, err := goversion.NewVersion(CompatBuild)
	if err != nil {
		t.Fatalf("peers cannot parse the build tag %q: %v", CompatBuild, err)
	}
	if got.LessThan(goversion.Must(goversion.NewVersion("1.11.0"))) {
		t.Errorf("build tag %s is below 1.11.0: peers would not let node identities be issued", CompatBuild)
	}
}

func TestOwnVersionIsSemantic(t *testing.T) {
	if _, err := goversion.NewSemver(Version); err != nil {
		t.Errorf("Version %q: %v", Version, err)
	}
	if strings.HasPrefix(Version, "v") {
		t.Errorf("Version %q carries a v; printers add it", Version)
	}
}

func TestHumanNamesAllFour(t *testing.T) {
	i := Get()
	if i.Commit == "" || i.GoVersion != runtime.Version() {
		t.Errorf("Get() = %+v, want a commit and Go %s", i, runtime.Version())
	}
	for _, want := range []string{i.Version, i.Commit, i.GoVersion, i.CompatBuild} {
		if !strings.Contains(Human(), want) {
			t.Errorf("Human() = %q does not contain %q", Human(), want)
		}
	}
}

func TestRecordedCommit(t *testing.T) {
	settings := func(kv ...string) *debug.BuildInfo {
		b := &debug.BuildInfo{}
		for i := 0; i < len(kv); i += 2 {
			b.Settings = append(b.Settings, debug.BuildSetting{Key: kv[i], Value: kv[i+1]})
		}
		return b
	}
	const full = "0123456789abcdef0123456789abcdef01234567"
	for _, tc := range []struct {
		name  string
		build *debug.BuildInfo
		want  string
	}{
		{"no build record", nil, "unknown"},
		{"a record without version control", settings("GOOS", "linux"), "unknown"},
		{"a clean checkout is abbreviated", settings("vcs.revision", full, "vcs.modified", "false"), "0123456789ab"},
		{"a changed checkout says so", settings("vcs.revision", full, "vcs.modified", "true"), "0123456789ab-dirty"},
		{"a short revision is kept whole", settings("vcs.revision", "0123"), "0123"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := recordedCommit(tc.build); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
