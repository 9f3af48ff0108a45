package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/certs"
)

func (a *app) tlsCertCreateCommand() *cli.Command {
	return a.command(spec{
		name: "create", usage: "make a certificate for a server, a node or the command line",
		help: "The certificate and its key go to REGION-ROLE-DOMAIN.pem and REGION-ROLE-DOMAIN-key.pem in the current folder. Existing files\n" +
			"are left alone. Besides its role's name the certificate is for localhost and, except on the command line, 127.0.0.1.\n" +
			"A server's certificate allows to act as a server: give it to servers only.",
		example: "tls cert create -server -additional-ipaddress 10.0.0.11\n  rollcall tls cert create -client\n  rollcall tls cert create -cli",
		flags: outputFlags(
			boolFlag("server", "for a server"),
			boolFlag("client", "for a node"),
			boolFlag("cli", "for the command line"),
			stringFlag("region", "`REGION` of the agent (default: global)"),
			domainFlag(),
			daysFlag("days for which the certificate is valid", 365),
			&cli.StringSliceFlag{Name: "additional-dnsname", Usage: "`NAME` that the certificate is for, too; repeatable", HideDefault: true},
			&cli.StringSliceFlag{Name: "additional-ipaddress", Usage: "`IP` that the certificate is for, too; repeatable", HideDefault: true},
			stringFlag("ca", "`FILE` of the authority (default: DOMAIN-agent-ca.pem)"),
			stringFlag("key", "`FILE` of its key (default: DOMAIN-agent-ca-key.pem)"),
		),
	}, func(_ context.Context, v *invocation) error {
		req, err := v.certRequest()
		if err != nil {
			return err
		}
		ca, err := v.readAuthority(req.Domain)
		if err != nil {
			return err
		}
		pair, err := ca.Issue(req)
		if err != nil {
			return err
		}
		return v.savePair(fmt.Sprintf("%s-%s-%s", req.Region, req.Role, req.Domain), "Certificate", pair)
	})
}

// labelRule is one label of a DNS name; a region with dots has several.
var (
	labelRule   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$`)
	dnsNameRule = regexp.MustCompile(`^(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_-]*)(\.[A-Za-z0-9_][A-Za-z0-9_-]*)*$`)
)

func (v *invocation) certRequest() (certs.Request, error) {
	req := certs.Request{Region: v.String("region"), DNSNames: v.StringSlice("additional-dnsname"), Now: time.Now()}
	for _, role := range []string{certs.RoleServer, certs.RoleClient, certs.RoleCLI} {
		switch {
		case !v.Bool(role):
		case req.Role != "":
			return req, usagef(v.Command, "give only one of -server, -client and -cli")
		default:
			req.Role = role
		}
	}
	if req.Role == "" {
		return req, usagef(v.Command, "give one of -server, -client and -cli")
	}
	if req.Region == "" {
		req.Region = "global"
	}
	if !labelRule.MatchString(req.Region) {
		return req, usagef(v.Command, "-region %q must be 1 to 63 letters, digits, - or _", req.Region)
	}
	for _, name := range req.DNSNames {
		if len(name) > 253 || !dnsNameRule.MatchString(name) {
			return req, usagef(v.Command, "-additional-dnsname %q is not a DNS name", name)
		}
	}
	for _, text := range v.StringSlice("additional-ipaddress") {
		ip := net.ParseIP(text)
		if ip == nil {
			return req, usagef(v.Command, "-additional-ipaddress %q is not an IP address", text)
		}
		req.IPs = append(req.IPs, ip)
	}
	var err error
	if req.Domain, err = v.domain(); err == nil {
		req.Days, err = v.days()
	}
	return req, err
}

// readAuthority reads the authority that is to sign.
func (v *invocation) readAuthority(domain string) (*certs.Authority, error) {
	certFile, keyFile := v.String("ca"), v.String("key")
	if certFile == "" {
		certFile = domain + "-agent-ca.pem"
	}
	if keyFile == "" {
		keyFile = domain + "-agent-ca-key.pem"
	}
	certPEM, err := certs.ReadFile(certFile)
	if err != nil {
		return nil, caFileError(certFile, err)
	}
	keyPEM, err := certs.ReadFile(keyFile)
	if err != nil {
		return nil, caFileError(keyFile, err)
	}
	ca, err := certs.ReadAuthority(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("use the authority in %s with the key in %s: %w", certFile, keyFile, err)
	}
	return ca, nil
}

func caFileError(path string, err error) error {
	err = fmt.Errorf("read the authority's %s: %w", path, err)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w; make one with 'rollcall tls ca create', or name its files with -ca and -key", err)
	}
	return err
}
