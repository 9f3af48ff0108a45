package client

import (
	"strconv"
	"strings"
	"testing"
)

func TestLinuxReportsKernelAndMemory(t *testing.T) {
	a := platformAttributes()
	if a["kernel.version"] == "" || strings.ContainsAny(a["kernel.version"], "\n ") {
		t.Errorf("kernel.version is %q", a["kernel.version"])
	}
	if n, err := strconv.ParseUint(a["memory.totalbytes"], 10, 64); err != nil || n < 16<<20 {
		t.Errorf("memory.totalbytes is %q", a["memory.totalbytes"])
	}
}

func TestOSRelease(t *testing.T) {
	for _, tc := range []struct{ name, text, id, version string }{
		{"quoted", "NAME=\"Debian GNU/Linux\"\nVERSION_ID=\"13\"\nID=debian\n", "debian", "13"},
		{"single quotes, comments and blank lines", "# about\n\nID='opensuse-leap'\nVERSION_ID='15.6'\n", "opensuse-leap", "15.6"},
		{"a rolling release", "ID=arch\n", "arch", ""},
		{"nothing", "", "", ""},
		{"nonsense", "ID\n=\n\"", "", ""},
		{"half a quote", "ID=\"x\nVERSION_ID=\"", "\"x", "\""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if id, v := osRelease(strings.NewReader(tc.text)); id != tc.id || v != tc.version {
				t.Errorf("got %q and %q, want %q and %q", id, v, tc.id, tc.version)
			}
		})
	}
}

func TestTotalMemory(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       uint64
	}{
		{"as Linux writes it", "MemTotal:       16384 kB\nMemFree: 1 kB\n", 16 << 20},
		{"not the first line", "MemFree: 1 kB\nMemTotal: 2 kB\n", 2048},
		{"without a unit", "MemTotal: 2\n", 0},
		{"not a number", "MemTotal: many kB\n", 0},
		{"more than fits", "MemTotal: 99999999999999999999 kB\n", 0},
		{"nothing", "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := totalMemory(strings.NewReader(tc.text)); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}
