package config

import (
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
)

// transit is the provider that hands wrapping to the transit engine of Vault or OpenBao.
const transit = "transit"

// transitOptions are the settings of a transit block.
var transitOptions = []string{"address", "token", "namespace", "mount_path", "key_name", "key_id_prefix", "disable_renewal",
	"tls_ca_cert", "tls_client_cert", "tls_client_key", "tls_server_name", "tls_skip_verify"}

// transitEnvironment is where settings come from that the block leaves out (wire.md §4.3).
var transitEnvironment = map[string]string{
	"address": "VAULT_ADDR", "token": "VAULT_TOKEN", "namespace": "VAULT_NAMESPACE", "tls_ca_cert": "VAULT_CACERT",
	"tls_client_cert": "VAULT_CLIENT_CERT", "tls_client_key": "VAULT_CLIENT_KEY", "tls_server_name": "VAULT_TLS_SERVER_NAME",
	"tls_skip_verify": "VAULT_SKIP_VERIFY",
}

// ProviderOptions are the block's settings together with what it takes from the environment.
func (k Keyring) ProviderOptions() map[string]string {
	out := maps.Clone(k.Options)
	if out == nil {
		out = map[string]string{}
	}
	if k.Provider != transit {
		return out
	}
	for name, variable := range transitEnvironment {
		if value := os.Getenv(variable); out[name] == "" && value != "" {
			out[name] = value
		}
	}
	return out
}

// transitKeyring checks a transit block. No message holds a value but the address of the service.
func (v *validator) transitKeyring(k Keyring, key string) {
	opts := k.ProviderOptions()
	fail := func(format string, args ...any) { v.errs.add(k.pos, key, format, args...) }
	for _, name := range []string{"mount_path", "key_name"} {
		if opts[name] == "" {
			fail("%s is missing", name)
		}
	}
	v.transitAddress(k, key, opts["address"])
	for _, name := range []string{"disable_renewal", "tls_skip_verify"} {
		if _, err := strconv.ParseBool(opts[name]); opts[name] != "" && err != nil {
			fail("%s must be \"true\" or \"false\"", name)
		}
	}
	for _, name := range []string{"tls_ca_cert", "tls_client_cert", "tls_client_key"} {
		if opts[name] != "" && !filepath.IsAbs(opts[name]) {
			fail("%s must be an absolute path", name)
		}
	}
	if (opts["tls_client_cert"] == "") != (opts["tls_client_key"] == "") {
		fail("tls_client_cert and tls_client_key go together")
	}
	if skip, _ := strconv.ParseBool(opts["tls_skip_verify"]); skip {
		v.warns.add(k.pos, key, "tls_skip_verify lets whoever is on the path read the root keys")
	}
}

func (v *validator) transitAddress(k Keyring, key, address string) {
	if address == "" {
		v.errs.add(k.pos, key, "address is missing, in the block and in VAULT_ADDR")
		return
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		v.errs.add(k.pos, key, "address must be an https:// or http:// URL")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		v.errs.add(k.pos, key, "address must have no user name, query or fragment")
	case u.Scheme == "http" && !onThisMachine(u.Hostname()):
		v.warns.add(k.pos, key, "address is not https: the token and the root keys cross the network in clear")
	}
}

func onThisMachine(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
