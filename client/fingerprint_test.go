package client

import (
	"os"
	"strconv"
	"testing"

	"github.com/rollcall-id/rollcall/internal/version"
	"github.com/rollcall-id/rollcall/structs"
)

func TestFingerprintOfThisMachine(t *testing.T) {
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	a := fingerprint(hostname, "9.9.9")
	for _, key := range []string{"kernel.name", "os.name", "arch", "cpu.arch"} {
		if a[key] == "" {
			t.Errorf("%s is empty", key)
		}
	}
	if n, err := strconv.Atoi(a["cpu.numcores"]); err != nil || n < 1 {
		t.Errorf("cpu.numcores is %q", a["cpu.numcores"])
	}
	for key, want := range map[string]string{
		structs.AttrNomadVersion: version.CompatBuild, structs.AttrRollcallVersion: "9.9.9", "unique.hostname": hostname,
	} {
		if a[key] != want {
			t.Errorf("%s is %q, want %q", key, a[key], want)
		}
	}
}
