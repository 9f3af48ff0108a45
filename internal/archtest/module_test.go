package archtest

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// root is the module's folder, seen from this package's.
const root = "../.."

// listModule asks the go command for our packages. It also looks at every file
// of ours itself: go test repeats a cached result unless a file that the test
// process looked at has changed, and does not see what go list reads.
func listModule(t *testing.T) []goPackage {
	t.Helper()
	walkGoFiles(t, func(path string) error {
		_, err := os.Stat(path)
		return err
	})
	pkgs, err := goList(root, "./...")
	if err != nil {
		t.Fatal(err)
	}
	if len(pkgs) == 0 {
		t.Fatal("go list found no package")
	}
	return pkgs
}

// walkGoFiles visits every Go file of the module, whatever its build tags.
func walkGoFiles(t *testing.T, visit func(path string) error) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		return visit(path)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func report(t *testing.T, problems []string) {
	t.Helper()
	abs, _ := filepath.Abs(root)
	for _, p := range problems {
		t.Error(strings.ReplaceAll(p, abs+string(filepath.Separator), ""))
	}
}

func TestTheTableIsALadder(t *testing.T) {
	report(t, checkTable(ladder))
}

func TestImportsFollowTheLadder(t *testing.T) {
	report(t, checkLadder(ladder, listModule(t)))
}

func TestReplicatedStateIsDeterministic(t *testing.T) {
	pkgs := mustBeDeterministic(listModule(t))
	if len(pkgs) == 0 {
		t.Fatal("found none of the packages that must be deterministic")
	}
	var patterns []string
	for _, p := range pkgs {
		patterns = append(patterns, p.ImportPath)
	}
	fset := token.NewFileSet()
	imp, err := exports(root, fset, patterns...)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pkgs {
		files, err := parsePackage(fset, p)
		if err != nil {
			t.Fatal(err)
		}
		src, err := typeCheck(fset, p.ImportPath, files, imp)
		if err != nil {
			t.Fatal(err)
		}
		report(t, checkDeterminism(src))
		report(t, checkMapOrder(src))
	}
}

func TestNoTestSleeps(t *testing.T) {
	fset := token.NewFileSet()
	read := 0
	walkGoFiles(t, func(path string) error {
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		read++
		report(t, checkSleep(fset, f))
		return nil
	})
	if read == 0 {
		t.Fatal("found no test file")
	}
}
