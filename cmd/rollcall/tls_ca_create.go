package main

import (
	"context"
	"crypto/x509/pkix"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/certs"
)

// maxCertDays bounds the validity that can be asked for; RFC 5280 has no dates past 9999.
const maxCertDays = 100 * 365

func (a *app) tlsCACreateCommand() *cli.Command {
	return a.command(spec{
		name: "create", usage: "make a certificate authority",
		help: "The certificate and its key go to DOMAIN-agent-ca.pem and DOMAIN-agent-ca-key.pem in the current folder. Existing files are\n" +
			"left alone. Whoever has the key can make a certificate for anybody: keep it away from the machines of the cluster.",
		example: "tls ca create\n  rollcall tls ca create -name-constraint -additional-domain id.example.com",
		flags: outputFlags(
			daysFlag("days for which the authority is valid", 5*365),
			domainFlag(),
			boolFlag("name-constraint", "let it sign names below the domain, localhost and -additional-domain only"),
			&cli.StringSliceFlag{Name: "additional-domain", Usage: "`DOMAIN` that it may sign names of, with -name-constraint; repeatable", HideDefault: true},
			stringFlag("common-name", "`NAME` of the authority"),
			stringFlag("country", "`COUNTRY` of the authority, two letters"),
			stringFlag("province", "`PROVINCE` of the authority"),
			stringFlag("locality", "`TOWN` of the authority"),
			stringFlag("street-address", "`STREET` of the authority"),
			stringFlag("postal-code", "`CODE` of the authority"),
			stringFlag("organization", "`ORGANIZATION` of the authority"),
			stringFlag("organizational-unit", "`UNIT` of the authority"),
		),
	}, func(_ context.Context, v *invocation) error {
		req := certs.AuthorityRequest{Subject: v.subject(), Now: time.Now()}
		var err error
		if req.Days, err = v.days(); err != nil {
			return err
		}
		domain, err := v.domain()
		if err != nil {
			return err
		}
		switch more := v.StringSlice("additional-domain"); {
		case v.Bool("name-constraint"):
			req.Domains = append([]string{domain, "localhost"}, more...)
		case len(more) > 0:
			return usagef(v.Command, "-additional-domain has an effect only with -name-constraint")
		}
		pair, err := certs.NewAuthority(req)
		if err != nil {
			return err
		}
		return v.savePair(domain+"-agent-ca", "CA certificate", pair)
	})
}

// subject is what the flags say of the authority.
func (v *invocation) subject() pkix.Name {
	list := func(flag string) []string {
		if s := v.String(flag); s != "" {
			return []string{s}
		}
		return nil
	}
	return pkix.Name{
		CommonName: v.String("common-name"), Country: list("country"), Province: list("province"), Locality: list("locality"),
		StreetAddress: list("street-address"), PostalCode: list("postal-code"),
		Organization: list("organization"), OrganizationalUnit: list("organizational-unit"),
	}
}
