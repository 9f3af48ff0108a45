package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/hashicorp/go-sockaddr"
	"github.com/hashicorp/go-sockaddr/template"
)

// interfaces is what address resolution asks of the machine.
type interfaces struct {
	// expand evaluates a go-sockaddr template.
	expand func(string) (string, error)
	// privateIP returns the first private address that others can reach, "" if there is none.
	privateIP func() (string, error)
	hostname  func() (string, error)
}

var machine = interfaces{expand: template.Parse, privateIP: sockaddr.GetPrivateIP, hostname: os.Hostname}

var hostRule = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?\.?$`)

// Normalize fills in what follows from the machine and from other settings: the name, the directories, the authoritative
// region, Listen, Published, and a port on every address to join. Settings keep their given form otherwise; doing it again
// changes nothing unless the machine's addresses changed. Errors are *Problems, joined; c is then left as it was.
func (c *Config) Normalize() error {
	return c.normalize(machine)
}

func (c *Config) normalize(m interfaces) error {
	r := c.resolve(m)
	name := c.Name
	if name == "" {
		host, err := m.hostname()
		if err != nil {
			r.errs.add(Pos{}, "name", "ask the machine for its name: %v; set name", err)
		} else if !nameRule.MatchString(host) {
			r.errs.add(Pos{}, "name", "the machine's name %q can't be used, set another: it %s", clip(host), nameHelp)
		}
		name = host
	}
	if err := r.errs.err(); err != nil {
		return err
	}
	c.Name = name
	if c.DataDir != "" {
		c.Server.DataDir = orElse(c.Server.DataDir, filepath.Join(c.DataDir, "server"))
		c.Client.StateDir = orElse(c.Client.StateDir, filepath.Join(c.DataDir, "client"))
	}
	c.Server.AuthoritativeRegion = orElse(c.Server.AuthoritativeRegion, c.Region)
	c.Listen, c.Published = r.listen, r.published
	c.Server.ServerJoin.RetryJoin, c.Server.ServerJoin.StartJoin = r.join[0], r.join[1]
	c.Client.ServerJoin.RetryJoin, c.Client.ServerJoin.StartJoin = r.join[2], r.join[3]
	c.Client.Servers = r.join[4]
	return nil
}

func orElse(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

// resolver works out addresses and collects what is wrong with them.
type resolver struct {
	c         *Config
	m         interfaces
	errs      problems
	listen    Listen
	published Published
	join      [5][]string
}

func (r *resolver) errorf(key, format string, args ...any) {
	r.errs.add(r.c.at(key), key, format, args...)
}

func (c *Config) resolve(m interfaces) *resolver {
	r := &resolver{c: c, m: m}
	common := r.bindIPs("bind_addr", c.BindAddr, nil)
	http := r.bindIPs("addresses.http", c.Addresses.HTTP, common)
	rpc := r.bindIPs("addresses.rpc", c.Addresses.RPC, common)
	serf := r.bindIPs("addresses.serf", c.Addresses.Serf, common)
	for _, ip := range http {
		r.listen.HTTP = append(r.listen.HTTP, hostPort(ip, c.Ports.HTTP))
	}
	if c.Public.Enabled {
		r.listen.Public = r.single("public.address", r.bindIPs("public.address", c.Public.Address, common), c.Public.Port)
	}
	r.published.HTTP = r.publish("advertise.http", c.Advertise.HTTP, http, c.Ports.HTTP)
	if c.Server.Enabled {
		r.listen.RPC = r.single("addresses.rpc", rpc, c.Ports.RPC)
		r.listen.Serf = r.single("addresses.serf", serf, c.Ports.Serf)
		r.published.RPC = r.publish("advertise.rpc", c.Advertise.RPC, rpc, c.Ports.RPC)
		r.published.Serf = r.publish("advertise.serf", c.Advertise.Serf, serf, c.Ports.Serf)
	}
	r.join = [5][]string{
		r.joinAddrs("server.server_join.retry_join", c.Server.ServerJoin.RetryJoin, DefaultSerfPort),
		r.joinAddrs("server.server_join.start_join", c.Server.ServerJoin.StartJoin, DefaultSerfPort),
		r.joinAddrs("client.server_join.retry_join", c.Client.ServerJoin.RetryJoin, DefaultRPCPort),
		r.joinAddrs("client.server_join.start_join", c.Client.ServerJoin.StartJoin, DefaultRPCPort),
		r.joinAddrs("client.servers", c.Client.Servers, DefaultRPCPort),
	}
	return r
}

// text evaluates templates in value and splits the result at white space.
func (r *resolver) text(key, value string) ([]string, bool) {
	if !strings.Contains(value, "{{") {
		return strings.Fields(value), true
	}
	expanded, err := r.m.expand(value)
	if err != nil {
		r.errorf(key, "evaluate address template: %v", err)
		return nil, false
	}
	words := strings.Fields(expanded)
	if len(words) == 0 {
		r.errorf(key, "the address template finds no address on this machine")
		return nil, false
	}
	return words, true
}

// bindIPs resolves an address to listen on; fallback stands for an empty one. Empty after an error.
func (r *resolver) bindIPs(key, value string, fallback []netip.Addr) []netip.Addr {
	if value == "" && key != "bind_addr" {
		return fallback
	}
	words, ok := r.text(key, value)
	if !ok {
		return nil
	}
	var ips []netip.Addr
	for _, word := range words {
		ip, err := netip.ParseAddr(word)
		if err != nil {
			r.errorf(key, "must be an IP address or a template such as {{ GetInterfaceIP \"eth0\" }}, got %q", clip(word))
			return nil
		}
		ips = append(ips, ip)
	}
	if len(ips) == 0 {
		r.errorf(key, "must be an IP address or a template, got an empty string")
	}
	return ips
}

func (r *resolver) single(key string, ips []netip.Addr, port int) string {
	if len(ips) > 1 {
		r.errorf(key, "must be one address, got %d; only addresses.http may have several", len(ips))
	}
	if len(ips) == 0 {
		return ""
	}
	return hostPort(ips[0], port)
}

// publish works out what others are told: the advertised address if given, else the one bound, else, where that stands for
// all of the machine's, its first private one.
func (r *resolver) publish(key, value string, bound []netip.Addr, port int) string {
	if value != "" {
		return r.advertised(key, value, port)
	}
	for _, ip := range bound {
		if !ip.IsUnspecified() {
			return hostPort(ip, port)
		}
	}
	if len(bound) == 0 {
		return "" // the bind address is wrong and has been reported
	}
	if r.c.DevMode {
		return hostPort(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
	}
	found, err := r.m.privateIP()
	if err != nil {
		r.errorf(key, "look for a private address to publish: %v", err)
		return ""
	}
	ip, err := netip.ParseAddr(found)
	if err != nil {
		r.errorf(key, "this machine has no private address to publish; set one, or a specific bind_addr")
		return ""
	}
	return hostPort(ip, port)
}

func (r *resolver) advertised(key, value string, port int) string {
	words, ok := r.text(key, value)
	if !ok {
		return ""
	}
	if len(words) != 1 {
		r.errorf(key, "must be one address, got %d", len(words))
		return ""
	}
	host, given, err := splitAddr(words[0])
	ip, ipErr := netip.ParseAddr(host)
	switch {
	case err != nil || ipErr != nil:
		r.errorf(key, "must be IP, IP:PORT or a template, got %q", clip(words[0]))
		return ""
	case ip.IsUnspecified():
		r.errorf(key, "must be an address that others can connect to, not %s", ip)
		return ""
	case given >= 0:
		port = given
	}
	return hostPort(ip, port)
}

// joinAddrs resolves addresses of others, adding the service's default port where none is given.
func (r *resolver) joinAddrs(key string, values []string, port int) []string {
	var addrs []string
	for i, value := range values {
		words, ok := r.text(key, value)
		if !ok {
			continue
		}
		if len(words) == 0 {
			r.errorf(key, "item %d is empty", i+1)
		}
		for _, word := range words {
			// Items are counted, not repeated: what people put here (cloud queries, URLs) can hold credentials.
			if strings.Contains(word, "=") {
				r.errorf(key, "item %d is a cloud or command query, which this version does not have; give HOST or HOST:PORT", i+1)
				break
			}
			host, given, err := splitAddr(word)
			if _, ipErr := netip.ParseAddr(host); err != nil || given == 0 || ipErr != nil && !hostRule.MatchString(host) {
				r.errorf(key, "item %d must be HOST or HOST:PORT", i+1)
				break
			}
			if given < 0 {
				given = port
			}
			addrs = append(addrs, net.JoinHostPort(host, strconv.Itoa(given)))
		}
	}
	return addrs
}

var errAddr = errors.New("not HOST or HOST:PORT")

// splitAddr takes HOST, HOST:PORT, an IPv6 address with or without brackets, and brackets with a port. port is -1 if none
// is given.
func splitAddr(s string) (host string, port int, err error) {
	if ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		return ip.String(), -1, nil
	}
	if !strings.Contains(s, ":") {
		if s == "" {
			return "", 0, errAddr
		}
		return s, -1, nil
	}
	host, text, err := net.SplitHostPort(s)
	if err != nil || host == "" {
		return "", 0, errAddr
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("%w: bad port", errAddr)
	}
	return host, int(n), nil
}

func hostPort(ip netip.Addr, port int) string {
	return net.JoinHostPort(ip.String(), strconv.Itoa(port))
}

// addresses checks ports and everything that resolve works out.
func (v *validator) addresses(m interfaces) {
	ports := []struct {
		key  string
		port int
	}{{"ports.http", v.Ports.HTTP}, {"ports.rpc", v.Ports.RPC}, {"ports.serf", v.Ports.Serf}, {"public.port", v.Public.Port}}
	if !v.Public.Enabled {
		ports = ports[:3]
	}
	for i, p := range ports {
		v.between(p.key, p.port, 0, 65535)
		for _, other := range ports[:i] {
			if p.port != 0 && p.port == other.port {
				v.errorf(p.key, "is %d, the same as %s", p.port, other.key)
			}
		}
	}
	r := v.resolve(m)
	v.errs = append(v.errs, r.errs...)
	if v.Server.Enabled && !v.DevMode && isLoopback(r.published.RPC) && v.Server.BootstrapExpect != 1 {
		v.warnf("advertise.rpc", "publishes %s, which only programs on this machine can reach", r.published.RPC)
	}
}
