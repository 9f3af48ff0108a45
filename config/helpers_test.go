package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp/cmpopts"
)

// plain compares the settings alone, not where they were given.
var plain = cmpopts.IgnoreUnexported(Config{}, Keyring{})

// lone is a machine with one private address, whose templates always yield templateIPs.
func lone(templateIPs string) interfaces {
	return interfaces{
		expand: func(s string) (string, error) {
			if strings.Contains(s, "broken") {
				return "", errors.New("no such function")
			}
			return templateIPs, nil
		},
		privateIP: func() (string, error) { return "10.9.8.7", nil },
		hostname:  func() (string, error) { return "host-1", nil },
	}
}

func mustParse(t *testing.T, base *Config, name, src string) *Config {
	t.Helper()
	c, err := Parse(base, name, []byte(src))
	if err != nil {
		t.Fatalf("parse %s: %v", name, err)
	}
	return c
}

// lines returns each problem as text.
func lines(ps []Problem) []string {
	out := make([]string, len(ps))
	for i := range ps {
		out[i] = ps[i].Error()
	}
	return out
}

// errorLines splits a joined error into its parts' texts.
func errorLines(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}
