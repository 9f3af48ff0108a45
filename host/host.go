package host

import (
	"io"
	"net"
	"os"
	"runtime"
	"strings"

	"github.com/rollcall-id/rollcall/structs"
)

// maxFile bounds what is read of a file, in bytes: anyone may have made /etc/hosts a large one.
const maxFile = 64 << 10

// shownEnvironment are variables whose values are shown; others may hold a secret.
var shownEnvironment = map[string]bool{
	"GODEBUG": true, "GOGC": true, "GOMAXPROCS": true, "GOMEMLIMIT": true, "GOTRACEBACK": true,
	"HOME": true, "HOSTNAME": true, "LANG": true, "LOGNAME": true, "PATH": true, "PWD": true, "SHELL": true, "TZ": true, "USER": true,
	"INVOCATION_ID": true, "JOURNAL_STREAM": true,
	"ROLLCALL_ADDR": true, "ROLLCALL_REGION": true, "NOMAD_ADDR": true, "NOMAD_REGION": true,
}

// Describe looks at the machine.
func Describe() *structs.HostData {
	return &structs.HostData{
		OS: system(), Network: network(), ResolvConf: fileText("/etc/resolv.conf"), Hosts: fileText("/etc/hosts"),
		Environment: environment(os.Environ()), Disk: disks(),
	}
}

func system() string {
	text := runtime.GOOS + " " + runtime.GOARCH
	if v := strings.TrimSpace(fileText("/proc/sys/kernel/osrelease")); v != "" {
		text += " " + v
	}
	return text
}

// network lists the interfaces that have an address.
func network() []map[string]string {
	out := []map[string]string{}
	interfaces, err := net.Interfaces()
	if err != nil {
		return out
	}
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			out = append(out, map[string]string{"name": i.Name, "address": a.String(), "flags": i.Flags.String()})
		}
	}
	return out
}

// environment hides what it does not know to be harmless. An address with a password in it is hidden, too.
func environment(pairs []string) map[string]string {
	out := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			continue
		}
		if !shownEnvironment[name] || strings.Contains(value, "@") {
			value = "<redacted>"
		}
		out[name] = value
	}
	return out
}

// fileText returns the beginning of a file, "" if it can't be read.
func fileText(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return ""
	}
	return strings.ToValidUTF8(string(b), "?")
}
