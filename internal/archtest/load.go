package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// tags build every file of ours, the long suites included.
const tags = "hashicorpmetrics,e2e"

// goPackage is what the rules need of `go list -json`.
type goPackage struct {
	ImportPath   string
	Dir          string
	Export       string // file of compiled type information, when asked for
	GoFiles      []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// goList runs the go command in root; args are flags and package patterns.
func goList(root string, args ...string) ([]goPackage, error) {
	cmd := exec.Command("go", append([]string{"list", "-tags=" + tags,
		"-json=ImportPath,Dir,Export,GoFiles,Imports,TestImports,XTestImports"}, args...)...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s in %s: %w\n%s", strings.Join(cmd.Args, " "), root, err, stderr.Bytes())
	}
	var pkgs []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs, nil
		} else if err != nil {
			return nil, fmt.Errorf("output of %s: %w", strings.Join(cmd.Args, " "), err)
		}
		pkgs = append(pkgs, p)
	}
}

// exports compiles patterns and all they import, and returns an importer that
// reads the types from the compiler's output.
func exports(root string, fset *token.FileSet, patterns ...string) (types.Importer, error) {
	pkgs, err := goList(root, append([]string{"-export", "-deps"}, patterns...)...)
	if err != nil {
		return nil, err
	}
	files := make(map[string]string, len(pkgs))
	for _, p := range pkgs {
		files[p.ImportPath] = p.Export
	}
	return importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		if files[path] == "" {
			return nil, fmt.Errorf("package %s is not among the compiled ones", path)
		}
		return os.Open(files[path])
	}), nil
}

// source is one type-checked package.
type source struct {
	fset  *token.FileSet
	files []*ast.File
	info  *types.Info
}

// at renders a position for a finding.
func (s source) at(n ast.Node) string { return s.fset.Position(n.Pos()).String() }

// parsePackage reads the non-test files of a listed package.
func parsePackage(fset *token.FileSet, p goPackage) ([]*ast.File, error) {
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// typeCheck resolves every name in files.
func typeCheck(fset *token.FileSet, path string, files []*ast.File, imp types.Importer) (source, error) {
	info := &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{},
		Uses:  map[*ast.Ident]types.Object{},
		Defs:  map[*ast.Ident]types.Object{},
	}
	conf := types.Config{Importer: imp}
	if _, err := conf.Check(path, fset, files, info); err != nil {
		return source{}, fmt.Errorf("type-check %s: %w", path, err)
	}
	return source{fset: fset, files: files, info: info}, nil
}
