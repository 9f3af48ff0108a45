package config

import "os"

// Env looks up the environment variable ROLLCALL_<name> and, where that is not set, NOMAD_<name>. A variable set to the
// empty string counts as set. name is given without prefix, for instance "ADDR".
func Env(name string) (value string, ok bool) {
	if value, ok = os.LookupEnv("ROLLCALL_" + name); ok {
		return value, true
	}
	return os.LookupEnv("NOMAD_" + name)
}
