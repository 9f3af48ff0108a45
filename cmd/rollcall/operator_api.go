package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/api"
)

// maxRequestBody bounds what is read from standard input; agents take less.
const maxRequestBody = 64 << 20

func (a *app) operatorAPICommand() *cli.Command {
	return a.apiCommand(spec{
		name: "api", usage: "send a request to the HTTP API", args: "PATH", least: 1, most: 1,
		help: "The answer goes to standard output as it comes, so that streams can be followed. The body is what standard input\n" +
			"holds if that is no terminal; with a body the method is POST unless -X says otherwise. Address, TLS, region, namespace\n" +
			"and token are those of all commands.",
		example: "operator api /v1/nodes\n  rollcall operator api -X PUT /v1/system/gc\n  rollcall operator api -filter 'Status == \"down\"' nodes",
		flags: []cli.Flag{
			&cli.StringFlag{Name: "X", Usage: "`METHOD` of the request", HideDefault: true},
			&cli.StringSliceFlag{Name: "H", Usage: "`HEADER` as 'Name: value'; repeatable", HideDefault: true},
			stringFlag("filter", "`EXPRESSION` that lists are filtered by"),
			boolFlag("verbose", "show request and answer on standard error, without the token"),
			boolFlag("dryrun", "print the curl command that does the same, without the token, and send nothing"),
		},
	}, func(ctx context.Context, v *invocation) error {
		r, err := v.rawRequest()
		if err != nil {
			return err
		}
		req, err := v.client.RawRequest(ctx, *r)
		if err != nil {
			return usagef(v.Command, "%s", err)
		}
		if v.Bool("dryrun") {
			fmt.Fprintln(v.out, printable(v.curl(req)))
			return nil
		}
		if v.Bool("verbose") {
			v.showHead("> ", fmt.Sprintf("%s %s", req.Method, req.URL.RequestURI()), req.Header)
		}
		res, err := v.client.Raw(ctx, *r)
		if err != nil {
			return fmt.Errorf("%s %s: %w", req.Method, r.Path, err)
		}
		defer res.Body.Close()
		if v.Bool("verbose") {
			v.showHead("< ", res.Status, res.Header)
		}
		if _, err := io.Copy(v.out, res.Body); err != nil {
			return fmt.Errorf("read answer of %s %s: %w", req.Method, r.Path, err)
		}
		if v.terminal {
			fmt.Fprintln(v.out) // answers end without
		}
		return nil
	})
}

// rawRequest reads path, flags and body. A path may leave out /v1; a whole URL is refused, since the token would go to
// wherever it points.
func (v *invocation) rawRequest() (*api.RawRequest, error) {
	u, err := url.Parse(v.Args().First())
	if err != nil {
		return nil, usagef(v.Command, "path is not understood: %s", err)
	}
	if u.Host != "" || u.Scheme != "" {
		return nil, usagef(v.Command, "give a path like /v1/nodes; -address says which agent to ask")
	}
	path := u.EscapedPath()
	if !strings.HasPrefix(path, "/") {
		path = "/v1/" + strings.TrimPrefix(path, "v1/")
	}
	r := &api.RawRequest{Method: strings.ToUpper(v.String("X")), Path: path, Params: u.Query(), Header: http.Header{}}
	if f := v.String("filter"); f != "" {
		r.Params.Set("filter", f)
	}
	for _, line := range v.StringSlice("H") {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, usagef(v.Command, "-H: want 'Name: value'") // the value may be a secret
		}
		r.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	body, err := v.requestBody()
	if err != nil {
		return nil, err
	}
	if len(body) > 0 {
		r.Body = bytes.NewReader(body)
	}
	if r.Method == "" {
		r.Method = http.MethodGet
		if len(body) > 0 {
			r.Method = http.MethodPost
		}
	}
	return r, nil
}

// requestBody reads standard input unless somebody would have to type it.
func (v *invocation) requestBody() ([]byte, error) {
	if f, ok := v.in.(*os.File); ok {
		if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice != 0 {
			return nil, nil // a terminal, the null device, or closed
		}
	}
	b, err := io.ReadAll(io.LimitReader(v.in, maxRequestBody+1))
	if err != nil {
		return nil, fmt.Errorf("read request body from standard input: %w", err)
	}
	if len(b) > maxRequestBody {
		return nil, errors.New("read request body from standard input: it has more than 64 MiB")
	}
	return b, nil
}

// secretHeaders are shown without their value.
var secretHeaders = []string{"X-Nomad-Token", "Authorization", "Cookie"}

func (v *invocation) showHead(mark, first string, h http.Header) {
	fmt.Fprintln(v.err, mark+printable(first))
	for _, name := range slices.Sorted(maps.Keys(h)) {
		value := strings.Join(h[name], ", ")
		if slices.Contains(secretHeaders, name) {
			value = "<redacted>"
		}
		fmt.Fprintln(v.err, mark+printable(name+": "+value))
	}
	fmt.Fprintln(v.err, strings.TrimSpace(mark))
}

// curl is the same request as a command line.
func (v *invocation) curl(req *http.Request) string {
	parts := []string{"curl", "-X", shellQuote(req.Method)}
	for _, name := range slices.Sorted(maps.Keys(req.Header)) {
		if slices.Contains(secretHeaders, name) {
			parts = append(parts, "-H", `"`+name+`: ${ROLLCALL_TOKEN}"`)
			continue
		}
		for _, value := range req.Header[name] {
			parts = append(parts, "-H", shellQuote(name+": "+value))
		}
	}
	if req.Body != nil {
		parts = append(parts, "--data-binary", "@-")
	}
	return strings.Join(append(parts, shellQuote(req.URL.String())), " ")
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
