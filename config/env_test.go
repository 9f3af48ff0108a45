package config

import "testing"

func TestEnvPrefersOurOwnName(t *testing.T) {
	t.Setenv("ROLLCALL_TEST_A", "ours")
	t.Setenv("NOMAD_TEST_A", "theirs")
	t.Setenv("NOMAD_TEST_B", "theirs")
	t.Setenv("ROLLCALL_TEST_C", "")
	t.Setenv("NOMAD_TEST_C", "theirs")
	for _, tc := range []struct {
		name, value string
		ok          bool
	}{{"TEST_A", "ours", true}, {"TEST_B", "theirs", true}, {"TEST_C", "", true}, {"TEST_D", "", false}} {
		if value, ok := Env(tc.name); value != tc.value || ok != tc.ok {
			t.Errorf("Env(%q) = %q, %v; want %q, %v", tc.name, value, ok, tc.value, tc.ok)
		}
	}
}
