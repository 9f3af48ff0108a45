package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/certs"
)

func (a *app) tlsCertInfoCommand() *cli.Command {
	return a.command(spec{
		name: "info", usage: "show a certificate", args: "FILE", least: 1, most: 1,
		help:    "A file with a chain shows all of it. The file of a key is refused.",
		example: "tls cert info global-server-nomad.pem",
		flags:   outputFlags(),
	}, func(_ context.Context, v *invocation) error {
		return v.showCertificates(v.Args().First(), false)
	})
}

// certInfo is what is shown of a certificate.
type certInfo struct {
	SerialNumber string
	Issuer       string
	Subject      string
	CommonName   string
	NotBefore    time.Time
	NotAfter     time.Time
	Authority    bool
	DNSNames     []string
	IPAddresses  []string
	// PermittedDomains are what an authority with constraints may sign names of.
	PermittedDomains []string
}

func newCertInfo(c *x509.Certificate) certInfo {
	info := certInfo{
		SerialNumber: c.SerialNumber.String(), Issuer: c.Issuer.String(), Subject: c.Subject.String(), CommonName: c.Subject.CommonName,
		NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), Authority: c.IsCA,
		DNSNames: append([]string{}, c.DNSNames...), IPAddresses: []string{}, PermittedDomains: append([]string{}, c.PermittedDNSDomains...),
	}
	for _, ip := range c.IPAddresses {
		info.IPAddresses = append(info.IPAddresses, ip.String())
	}
	return info
}

// showCertificates shows all certificates of a file, which must be those of authorities or begin with one that is none.
func (v *invocation) showCertificates(file string, authorities bool) error {
	text, err := certs.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	cs, err := certs.ReadCertificates(text)
	if err != nil {
		return fmt.Errorf("read %s: the file %w", file, err)
	}
	infos := make([]certInfo, len(cs))
	for i, c := range cs {
		if authorities && !c.IsCA {
			return fmt.Errorf("read %s: certificate %d (%.80q) is not that of an authority; see 'rollcall tls cert info'", file, i+1, c.Subject.String())
		}
		infos[i] = newCertInfo(c)
	}
	return v.result(infos, func(w io.Writer) {
		for i, info := range infos {
			if i > 0 {
				fmt.Fprintln(w)
			}
			v.pairs(w, info.rows())
		}
	})
}

func (i certInfo) rows() [][2]string {
	list := func(names []string) string { return orNone(strings.Join(names, ", ")) }
	rows := [][2]string{
		{"Serial Number", i.SerialNumber}, {"Issuer", i.Issuer}, {"Subject", i.Subject},
		{"Valid From", stamp(i.NotBefore)}, {"Expires", stamp(i.NotAfter)},
	}
	if i.Authority {
		return append(rows, [2]string{"May Sign", list(i.PermittedDomains)})
	}
	return append(rows, [2]string{"DNS Names", list(i.DNSNames)}, [2]string{"IP Addresses", list(i.IPAddresses)})
}
