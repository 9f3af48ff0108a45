package client

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"
)

// platformAttributes reads what Linux says of itself.
func platformAttributes() map[string]string {
	a := map[string]string{"kernel.version": strings.TrimSpace(fileText("/proc/sys/kernel/osrelease"))}
	release := fileText("/etc/os-release")
	if release == "" {
		release = fileText("/usr/lib/os-release")
	}
	a["os.name"], a["os.version"] = osRelease(strings.NewReader(release))
	if n := totalMemory(strings.NewReader(fileText("/proc/meminfo"))); n > 0 {
		a["memory.totalbytes"] = strconv.FormatUint(n, 10)
	}
	return a
}

// fileText returns a small file's text, "" if it can't be read.
func fileText(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSmallFile))
	if err != nil {
		return ""
	}
	return string(b)
}

// osRelease reads ID and VERSION_ID of os-release(5).
func osRelease(r io.Reader) (name, version string) {
	for s := bufio.NewScanner(r); s.Scan(); {
		key, value, ok := strings.Cut(strings.TrimSpace(s.Text()), "=")
		if !ok {
			continue
		}
		value = unquote(value)
		switch key {
		case "ID":
			name = value
		case "VERSION_ID":
			version = value
		}
	}
	return name, version
}

// unquote removes the quotes of a shell assignment.
func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

// totalMemory reads MemTotal of proc_meminfo(5), in bytes; 0 if it isn't there.
func totalMemory(r io.Reader) uint64 {
	for s := bufio.NewScanner(r); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) == 3 && fields[0] == "MemTotal:" && fields[2] == "kB" {
			n, err := strconv.ParseUint(fields[1], 10, 54)
			if err != nil {
				return 0
			}
			return n << 10
		}
	}
	return 0
}
