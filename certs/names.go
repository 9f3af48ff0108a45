package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Roles are the first labels of the names in certificates.
const (
	RoleServer = "server"
	RoleClient = "client"
	RoleCLI    = "cli"
)

// topDomain is the last label of every name that carries a role.
const topDomain = "nomad"

// ErrRole is in every error about a certificate whose names don't allow what its holder wants.
var ErrRole = errors.New("invalid role or region for certificate")

// RoleName is the DNS name that carries a role in a region: "server.global.nomad".
func RoleName(role, region string) string { return role + "." + region + "." + topDomain }

// CheckRole reports whether the peer of a connection has one of the roles in the region. Names are compared as they are: neither
// wildcards nor another spelling of a name carry a role. The error is an ErrRole.
func CheckRole(state *tls.ConnectionState, region string, roles ...string) error {
	names, err := verifiedNames(state)
	if err != nil {
		return err
	}
	return checkRole(names, region, roles...)
}

func checkRole(names []string, region string, roles ...string) error {
	wanted := make([]string, len(roles))
	for i, role := range roles {
		wanted[i] = RoleName(role, region)
		if slices.Contains(names, wanted[i]) {
			return nil
		}
	}
	return fmt.Errorf("%w: it is for %s, not %s", ErrRole, listNames(names), strings.Join(wanted, " or "))
}

// CheckPeer reports whether a peer may speak RPC with an agent of the region at all: clients of the region, and the
// servers of any. The error is an ErrRole.
func CheckPeer(state *tls.ConnectionState, region string) error {
	names, err := verifiedNames(state)
	if err != nil {
		return err
	}
	client := RoleName(RoleClient, region)
	for _, name := range names {
		if name == client || isServerName(name) {
			return nil
		}
	}
	return fmt.Errorf("%w: it is for %s, not %s or a server", ErrRole, listNames(names), client)
}

// isServerName tells whether name is server.<region>.nomad for some region, which elsewhere may have dots.
func isServerName(name string) bool {
	middle, ok := strings.CutPrefix(name, RoleServer+".")
	if !ok {
		return false
	}
	region, ok := strings.CutSuffix(middle, "."+topDomain)
	return ok && regionRule.MatchString(region)
}

var regionRule = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

// verifiedNames are the names of the peer's certificate, if its chain was verified.
func verifiedNames(state *tls.ConnectionState) ([]string, error) {
	if state == nil || len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return nil, fmt.Errorf("%w: the connection has no verified TLS certificate", ErrRole)
	}
	return namesOf(state.VerifiedChains), nil
}

// namesOf are the DNS names of a verified certificate, and its common name. Authorities that may only sign certain names are held
// to it for DNS names alone, so below one of those the common name does not count.
func namesOf(chains [][]*x509.Certificate) []string {
	leaf := chains[0][0]
	names := slices.Clone(leaf.DNSNames)
	if cn := leaf.Subject.CommonName; cn != "" && slices.ContainsFunc(chains, unconstrained) {
		names = append(names, cn)
	}
	return names
}

func unconstrained(chain []*x509.Certificate) bool {
	return !slices.ContainsFunc(chain[1:], func(c *x509.Certificate) bool {
		return len(c.PermittedDNSDomains)+len(c.ExcludedDNSDomains)+len(c.PermittedIPRanges)+len(c.ExcludedIPRanges)+
			len(c.PermittedURIDomains)+len(c.ExcludedURIDomains)+len(c.PermittedEmailAddresses)+len(c.ExcludedEmailAddresses) > 0
	})
}

// maxNamesShown bounds how much of a peer's names gets into an error.
const maxNamesShown = 4

// listNames quotes names, which a peer may have chosen, for an error.
func listNames(names []string) string {
	if len(names) == 0 {
		return "no name"
	}
	var out []string
	for _, name := range names[:min(len(names), maxNamesShown)] {
		out = append(out, fmt.Sprintf("%.80q", name))
	}
	if more := len(names) - maxNamesShown; more > 0 {
		out = append(out, fmt.Sprintf("%d more", more))
	}
	return strings.Join(out, ", ")
}
