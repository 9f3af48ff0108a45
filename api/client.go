package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// DefaultAddress is where an agent on the same machine listens.
	DefaultAddress = "http://127.0.0.1:4646"
	// defaultTimeout bounds a call that does not wait on purpose; servers give up on finding a leader long before.
	defaultTimeout = 60 * time.Second
	// maxServerWait is how long a server holds a blocking query at most (wire.md §1.9).
	maxServerWait = 300 * time.Second
	// maxAnswer bounds an answer in bytes; 100,000 nodes in a list have about 50 MB.
	maxAnswer = 1 << 30
	// maxError bounds the text of a refusal.
	maxError = 16 << 10
)

// Config says how to reach a server or agent.
type Config struct {
	// Address is http://host:port, https://host:port, unix:///path or host:port, which means http. Empty means DefaultAddress.
	Address   string
	Region    string // empty means the server's own
	Namespace string // empty means "default"
	Token     string
	TLS       TLSConfig
	// Timeout bounds each call, besides the time it asks the server to wait; 0 means one minute.
	Timeout time.Duration
}

// TLSConfig names the files that https needs; the system's authorities count when neither CACert nor CAPath is given.
type TLSConfig struct {
	CACert     string // PEM file
	CAPath     string // directory of PEM files
	ClientCert string // PEM file, together with ClientKey
	ClientKey  string
	ServerName string // checked instead of the address's host
	SkipVerify bool
}

// ConfigFromEnv reads ROLLCALL_<NAME> or else NOMAD_<NAME> for ADDR, REGION, NAMESPACE, TOKEN, CACERT, CAPATH,
// CLIENT_CERT, CLIENT_KEY, TLS_SERVER_NAME and SKIP_VERIFY.
func ConfigFromEnv() (Config, error) {
	env := func(name string) string {
		if v, ok := os.LookupEnv("ROLLCALL_" + name); ok {
			return v
		}
		return os.Getenv("NOMAD_" + name)
	}
	cfg := Config{
		Address: env("ADDR"), Region: env("REGION"), Namespace: env("NAMESPACE"), Token: env("TOKEN"),
		TLS: TLSConfig{
			CACert: env("CACERT"), CAPath: env("CAPATH"), ClientCert: env("CLIENT_CERT"), ClientKey: env("CLIENT_KEY"),
			ServerName: env("TLS_SERVER_NAME"),
		},
	}
	if s := env("SKIP_VERIFY"); s != "" {
		skip, err := strconv.ParseBool(s)
		if err != nil {
			return Config{}, fmt.Errorf("read ROLLCALL_SKIP_VERIFY (or NOMAD_SKIP_VERIFY): %q is neither true nor false", s)
		}
		cfg.TLS.SkipVerify = skip
	}
	return cfg, nil
}

// Client calls one server or agent. Make it with New.
type Client struct {
	cfg  Config
	base url.URL
	http *http.Client
}

// New checks the address and reads the TLS files. It does not connect.
func New(cfg Config) (*Client, error) {
	if cfg.Address == "" {
		cfg.Address = DefaultAddress
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	address := cfg.Address
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("the address is no URL; want http://host:port, https://host:port or unix:///path") // it may hold a password
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	tr := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout: 90 * time.Second, ForceAttemptHTTP2: true,
	}
	c := &Client{cfg: cfg, base: url.URL{Scheme: u.Scheme, Host: u.Host}}
	switch {
	case u.User != nil:
		return nil, errors.New("the address holds a user or password; give a token instead")
	case u.Scheme == "unix":
		path := u.Host + u.Path
		if path == "" {
			return nil, fmt.Errorf("address %q names no socket; want unix:///path/to/socket", cfg.Address)
		}
		tr.Proxy = nil
		tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.DialContext(ctx, "unix", path) }
		c.base = url.URL{Scheme: "http", Host: "localhost"}
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("address %q has the scheme %q; want http, https or unix", cfg.Address, u.Scheme)
	case u.Host == "":
		return nil, fmt.Errorf("address %q names no host", cfg.Address)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("address %q has more than scheme, host and port", cfg.Address)
	}
	if tr.TLSClientConfig, err = cfg.TLS.load(); err != nil {
		return nil, err
	}
	c.http = &http.Client{
		Transport:     tr,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Address returns where the client's calls go.
func (c *Client) Address() string { return c.cfg.Address }

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (t TLSConfig) load() (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.SkipVerify} //nolint:gosec // asked for
	files := []string{}
	if t.CACert != "" {
		files = append(files, t.CACert)
	}
	if t.CAPath != "" {
		entries, err := os.ReadDir(t.CAPath)
		if err != nil {
			return nil, fmt.Errorf("read CA directory: %w", err)
		}
		for _, e := range entries {
			if !e.IsDir() {
				files = append(files, filepath.Join(t.CAPath, e.Name()))
			}
		}
	}
	if len(files) > 0 {
		out.RootCAs = x509.NewCertPool()
	}
	found := false
	for _, file := range files {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read CA certificate: %w", err)
		}
		found = out.RootCAs.AppendCertsFromPEM(pem) || found
	}
	if len(files) > 0 && !found {
		return nil, fmt.Errorf("read CA certificates: no PEM certificate in %s", strings.Join(files, ", "))
	}
	if (t.ClientCert == "") != (t.ClientKey == "") {
		return nil, errors.New("a client certificate needs both its certificate and its key file")
	}
	if t.ClientCert != "" {
		pair, err := tls.LoadX509KeyPair(t.ClientCert, t.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("read client certificate: %w", err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}

// path escapes the parts of a path that come from callers.
func path(format string, parts ...string) string {
	args := make([]any, len(parts))
	for i, p := range parts {
		args[i] = url.PathEscape(p)
	}
	return fmt.Sprintf(format, args...)
}

// do sends one request with in as its JSON body (nil for none) and decodes the answer into the pointer out (nil ignores
// it). accept lists statuses besides 200 whose body is an answer too.
func (c *Client) do(ctx context.Context, method, path string, params url.Values, in, out any, accept ...int) (http.Header, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.patience(params), fmt.Errorf("no answer from %s in time", c.cfg.Address))
	defer cancel()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := c.request(ctx, method, path, params, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.send(req, accept...)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if out != nil {
		if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(out); err != nil {
			return nil, fmt.Errorf("decode answer of %s %s: %w", method, path, err)
		}
	}
	return res.Header, nil
}

// request builds a request; body is nil for none.
func (c *Client) request(ctx context.Context, method, path string, params url.Values, body io.Reader) (*http.Request, error) {
	u := c.base.String() + path
	if q := params.Encode(); q != "" {
		u += "?" + q
	}
	req, err := http.NewRequestWithContext(ctx, method, u, body)
	if err != nil {
		return nil, fmt.Errorf("build request: %w", err)
	}
	if c.cfg.Token != "" {
		req.Header.Set("X-Nomad-Token", c.cfg.Token)
	}
	return req, nil
}

// send returns an answer that is no refusal; the caller closes its body.
func (c *Client) send(req *http.Request, accept ...int) (*http.Response, error) {
	res, err := c.http.Do(req)
	if err != nil {
		return nil, callError(req.Context(), req.Method, req.URL.EscapedPath(), err)
	}
	if res.StatusCode == http.StatusOK || slices.Contains(accept, res.StatusCode) {
		return res, nil
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxError))
	if err != nil {
		return nil, callError(req.Context(), req.Method, req.URL.EscapedPath(), err)
	}
	return nil, &StatusError{Code: res.StatusCode, Body: string(bytes.TrimSpace(text))}
}

// patience is how long a call may take: what it asks the server to wait, with the server's jitter, and the timeout.
func (c *Client) patience(params url.Values) time.Duration {
	if !params.Has("index") {
		return c.cfg.Timeout
	}
	wait, err := time.ParseDuration(params.Get("wait"))
	if err != nil || wait <= 0 || wait > maxServerWait {
		wait = maxServerWait
	}
	return wait + wait/16 + c.cfg.Timeout
}

// callError leaves out the address and query that net/http puts into its errors twice over, and what was given as the accessor
// of an ACL token: people mistake the secret for it.
func callError(ctx context.Context, method, path string, err error) error {
	if tokens := "/v1/acl/token/"; strings.HasPrefix(path, tokens) {
		path = tokens + "{accessor}"
	}
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%s %s: %w", method, path, cause)
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	return fmt.Errorf("%s %s: %w", method, path, err)
}
