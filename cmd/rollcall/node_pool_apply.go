package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/urfave/cli/v3"

	"github.com/rollcall-id/rollcall/structs"
)

const (
	// maxSpecFile bounds a pool's file in bytes.
	maxSpecFile = 1 << 20
	// maxSpecDepth bounds the nesting of a pool's file; a real one has two levels.
	maxSpecDepth = 16
)

func (a *app) nodePoolApplyCommand() *cli.Command {
	return a.apiCommand(spec{
		name: "apply", usage: "create or change a node pool", args: "FILE", least: 1, most: 1,
		help: "The file is HCL, or JSON as `node pool info -json` prints it; - reads standard input.\n" +
			"'rollcall node pool init' writes an example.",
		example: "node pool apply pool.hcl\n  rollcall node pool info -json edge | rollcall node pool apply -json -",
		flags: []cli.Flag{
			boolFlag("json", "read the file as JSON, whatever its name"), stringFlag("t", "print the pool with a Go `TEMPLATE`"),
		},
	}, func(ctx context.Context, v *invocation) error {
		name := v.Args().First()
		src, err := v.readSpec(name)
		if err != nil {
			return fmt.Errorf("read node pool: %w", err)
		}
		parse := parsePoolHCL
		if v.Bool("json") || filepath.Ext(name) == ".json" {
			parse = parsePoolJSON
		}
		pool, err := parse(name, src)
		if err != nil {
			return fmt.Errorf("read node pool: %w", err)
		}
		if err := pool.Validate(); err != nil {
			return fmt.Errorf("read node pool: %s: %w", name, err)
		}
		if ttl := pool.NodeIdentityTTL; ttl > 0 && ttl < structs.ShortNodeIdentityTTL {
			fmt.Fprintf(v.err, "Warning: identities that are valid for %s are renewed all the time and lapse with the first hiccup; "+
				"a minute or more is better\n", ttl)
		}
		if err := v.client.ApplyNodePool(ctx, pool, nil); err != nil {
			return fmt.Errorf("apply node pool %q: %w", pool.Name, err)
		}
		if t := v.String("t"); t != "" {
			return v.printTemplate(t, pool)
		}
		fmt.Fprintln(v.out, printable(fmt.Sprintf("Successfully applied node pool %q!", pool.Name)))
		return nil
	})
}

// readSpec reads a file or, for "-", standard input.
func (v *invocation) readSpec(name string) ([]byte, error) {
	in := v.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	src, err := io.ReadAll(io.LimitReader(in, maxSpecFile+1))
	if err != nil {
		return nil, err
	}
	if len(src) > maxSpecFile {
		return nil, fmt.Errorf("%s has more than %d bytes", name, maxSpecFile)
	}
	return src, nil
}

// parsePoolHCL reads a file that holds one node_pool block.
func parsePoolHCL(name string, src []byte) (*structs.NodePool, error) {
	if err := checkLiterals(name, src); err != nil {
		return nil, err
	}
	file, diags := hclparse.NewParser().ParseHCL(src, name)
	if diags.HasErrors() {
		return nil, diags
	}
	content, diags := file.Body.Content(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "node_pool", LabelNames: []string{"name"}}}})
	if diags.HasErrors() {
		return nil, diags
	}
	if n := len(content.Blocks); n != 1 {
		return nil, fmt.Errorf("%s has %d node_pool blocks; want exactly one", name, n)
	}
	block := content.Blocks[0]
	var in struct {
		Description     string   `hcl:"description,optional"`
		NodeIdentityTTL string   `hcl:"node_identity_ttl,optional"`
		Rest            hcl.Body `hcl:",remain"`
	}
	if diags := gohcl.DecodeBody(block.Body, nil, &in); diags.HasErrors() {
		return nil, diags
	}
	pool := &structs.NodePool{Name: block.Labels[0], Description: in.Description}
	if in.NodeIdentityTTL != "" {
		ttl, err := time.ParseDuration(in.NodeIdentityTTL)
		if err != nil {
			return nil, fmt.Errorf("%s: node_identity_ttl: %w", name, err)
		}
		pool.NodeIdentityTTL = ttl
	}
	meta, err := poolMeta(in.Rest)
	if err != nil {
		return nil, err
	}
	pool.Meta = meta
	return pool, nil
}

// checkLiterals refuses what the recursive parser could be sent arbitrarily deep with: everything but blocks and literal
// values, nested a few levels.
func checkLiterals(name string, src []byte) error {
	tokens, diags := hclsyntax.LexConfig(src, name, hcl.InitialPos)
	if diags.HasErrors() {
		return diags
	}
	depth, previous := 0, hclsyntax.TokenNil
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack:
			depth++
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack:
			depth--
		case hclsyntax.TokenIdent, hclsyntax.TokenNumberLit, hclsyntax.TokenStringLit, hclsyntax.TokenQuotedLit, hclsyntax.TokenOQuote,
			hclsyntax.TokenCQuote, hclsyntax.TokenOHeredoc, hclsyntax.TokenCHeredoc, hclsyntax.TokenEqual, hclsyntax.TokenComma,
			hclsyntax.TokenColon, hclsyntax.TokenMinus, hclsyntax.TokenNewline, hclsyntax.TokenComment, hclsyntax.TokenEOF:
		default:
			return fmt.Errorf("%s:%d: values are literals; %q is not supported", name, t.Range.Start.Line, t.Bytes)
		}
		if t.Type == hclsyntax.TokenMinus && previous == hclsyntax.TokenMinus {
			return fmt.Errorf("%s:%d: values are literals; arithmetic is not supported", name, t.Range.Start.Line)
		}
		if depth > maxSpecDepth {
			return fmt.Errorf("%s:%d: nested more than %d levels deep", name, t.Range.Start.Line, maxSpecDepth)
		}
		previous = t.Type
	}
	return nil
}

// poolMeta reads metadata given as a block, meta { a = "b" }, or as a map, meta = { a = "b" }.
func poolMeta(body hcl.Body) (map[string]string, error) {
	content, diags := body.Content(&hcl.BodySchema{
		Attributes: []hcl.AttributeSchema{{Name: "meta"}}, Blocks: []hcl.BlockHeaderSchema{{Type: "meta"}},
	})
	if diags.HasErrors() {
		return nil, diags
	}
	var meta map[string]string
	if attr := content.Attributes["meta"]; attr != nil {
		if diags := gohcl.DecodeExpression(attr.Expr, nil, &meta); diags.HasErrors() {
			return nil, diags
		}
	}
	for _, block := range content.Blocks {
		attrs, diags := block.Body.JustAttributes()
		if diags.HasErrors() {
			return nil, diags
		}
		if meta == nil {
			meta = map[string]string{}
		}
		for key, attr := range attrs {
			var value string
			if diags := gohcl.DecodeExpression(attr.Expr, nil, &value); diags.HasErrors() {
				return nil, diags
			}
			meta[key] = value
		}
	}
	return meta, nil
}

// parsePoolJSON reads a pool as the API writes it, its TTL also as a string. What servers fill in is skipped.
func parsePoolJSON(name string, src []byte) (*structs.NodePool, error) {
	var in struct {
		Name                   string
		Description            string
		Meta                   map[string]string
		NodeIdentityTTL        json.RawMessage
		SchedulerConfiguration *structs.NodePoolSchedulerConfiguration
		Hash                   json.RawMessage
		CreateIndex            json.RawMessage
		ModifyIndex            json.RawMessage
	}
	dec := json.NewDecoder(bytes.NewReader(src))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return nil, fmt.Errorf("%s: %w", name, withoutPrefix(err, "json: "))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s holds more than one JSON value", name)
	}
	pool := &structs.NodePool{Name: in.Name, Description: in.Description, Meta: in.Meta, SchedulerConfiguration: in.SchedulerConfiguration}
	if len(in.NodeIdentityTTL) > 0 {
		ttl, err := structs.ParseJSONDuration(in.NodeIdentityTTL)
		if err != nil {
			return nil, fmt.Errorf("%s: NodeIdentityTTL: %w", name, err)
		}
		pool.NodeIdentityTTL = ttl
	}
	return pool, nil
}

func withoutPrefix(err error, prefix string) error {
	return errors.New(strings.TrimPrefix(err.Error(), prefix))
}
