package host

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDescribe(t *testing.T) {
	t.Setenv("ROLLCALL_TOKEN", "s3cret")
	t.Setenv("NOMAD_ADDR", "http://user:s3cret@host:4646")
	got := Describe()
	if got.OS == "" || len(got.Network) == 0 || got.Disk == nil {
		t.Errorf("the machine is %+v", got)
	}
	for name, value := range got.Environment {
		if (name == "ROLLCALL_TOKEN" || name == "NOMAD_ADDR") && value != "<redacted>" {
			t.Errorf("%s is shown as %q", name, value)
		}
	}
}

func TestEnvironment(t *testing.T) {
	got := environment([]string{"PATH=/bin", "AWS_SECRET_ACCESS_KEY=x", "SOMETHING=else", "=odd", "novalue", "NOMAD_ADDR=http://u:p@h"})
	want := map[string]string{"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "<redacted>", "SOMETHING": "<redacted>", "NOMAD_ADDR": "<redacted>"}
	if diff := cmp.Diff(want, maps.Clone(got)); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

func TestMissingFilesAreEmpty(t *testing.T) {
	if got := fileText("/does/not/exist"); got != "" {
		t.Errorf("read %q", got)
	}
}
