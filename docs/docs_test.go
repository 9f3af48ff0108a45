// Package docs_test holds what the documents print to what the program does: configuration blocks load, the Go
// program compiles, links lead somewhere, and the tables that repeat a list of the code repeat all of it.
package docs_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-id/rollcall/config"
)

var documents = []string{
	"../README.md", "../CONTRIBUTING.md", "../SECURITY.md", "../CHANGELOG.md",
	"ARCHITECTURE.md", "write-path.md", "operations.md", "compatibility.md", "security.md",
	"upgrade.md", "cli.md", "acl.md",
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var fence = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// blocks returns the code blocks of a language.
func blocks(text, language string) []string {
	var out []string
	for _, m := range fence.FindAllStringSubmatch(text, -1) {
		if m[1] == language {
			out = append(out, m[2])
		}
	}
	return out
}

// checkConfig holds a configuration to what an agent accepts. Addresses that a template takes from the machine are
// fixed, since a machine without a private address must be able to run this test.
func checkConfig(t *testing.T, name, src string) *config.Config {
	t.Helper()
	src = strings.ReplaceAll(src, "{{ GetPrivateIP }}", "10.0.0.11")
	cfg, err := config.Parse(config.DefaultConfig(), name, []byte(src))
	if err != nil {
		t.Fatalf("%s does not load: %v", name, err)
	}
	for _, w := range cfg.Warnings() {
		t.Errorf("%s is warned about: %v", name, &w)
	}
	return cfg
}

func TestExampleConfigurationsAreValid(t *testing.T) {
	files, err := filepath.Glob("../packaging/*.hcl")
	if err != nil || len(files) < 2 {
		t.Fatalf("found %d example configurations in packaging (%v), want a server's and a node's", len(files), err)
	}
	for _, path := range files {
		if err := checkConfig(t, path, read(t, path)).Validate(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestConfigurationBlocksOfTheDocumentsAreValid(t *testing.T) {
	whole := 0
	for _, path := range documents {
		for i, src := range blocks(read(t, path), "hcl") {
			if strings.HasPrefix(src, "node_pool ") {
				continue // a pool's file, not an agent's
			}
			name := fmt.Sprintf("%s-block-%d.hcl", filepath.Base(path), i+1)
			base := config.DefaultConfig()
			if strings.Contains(src, "data_dir") { // a whole file; others are meant to stand beside one
				whole++
				if err := checkConfig(t, name, src).Validate(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			} else if _, err := config.Parse(base, name, []byte(src)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if whole < 2 {
		t.Errorf("found %d whole configuration files in the documents, want a server's and a node's", whole)
	}
}

func TestTheVerifierInTheReadmeCompiles(t *testing.T) {
	programs := blocks(read(t, "../README.md"), "go")
	if len(programs) != 1 {
		t.Fatalf("README.md has %d Go programs, want 1", len(programs))
	}
	dir := t.TempDir()
	src := filepath.Join(dir, "main.go")
	if err := os.WriteFile(src, []byte(programs[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "verify"), src).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// settings lists every setting with its default, by its dotted name.
func settings(v reflect.Value, prefix string) [][3]string {
	var out [][3]string
	for i := range v.NumField() {
		tag, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("cfg"), ",")
		if tag == "" {
			continue
		}
		f := v.Field(i)
		if f.Kind() == reflect.Struct {
			out = append(out, settings(f, prefix+tag+".")...)
			continue
		}
		reload := ""
		if slices.Contains(strings.Split(options, ","), "reload") {
			reload = "yes"
		}
		out = append(out, [3]string{prefix + tag, defaultText(f), reload})
	}
	return out
}

func defaultText(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		if x == 0 {
			return "0s"
		}
		text := x.String()
		if strings.HasSuffix(text, "m0s") {
			text = strings.TrimSuffix(text, "0s")
		}
		if strings.HasSuffix(text, "h0m") {
			text = strings.TrimSuffix(text, "0m")
		}
		return text
	case string:
		return x
	}
	if k := v.Kind(); k == reflect.Slice || k == reflect.Map {
		return ""
	}
	return fmt.Sprint(v.Interface())
}

func TestEverySettingIsInTheOperationsGuide(t *testing.T) {
	guide := read(t, "operations.md")
	all := settings(reflect.ValueOf(config.DefaultConfig()).Elem(), "")
	if len(all) < 50 {
		t.Fatalf("found %d settings; is the tag of configuration fields still cfg?", len(all))
	}
	for _, s := range all {
		row := fmt.Sprintf("| `%s` | %s | %s | ", s[0], s[1], s[2])
		if !strings.Contains(guide, row) {
			t.Errorf("operations.md has no row that begins %q", row)
		}
	}
}

var wireError = regexp.MustCompile(`(?m)^\tErr[A-Za-z]+ = errors\.New\("([^"]+)"\)`)

// found returns the first group of every match in the files.
func found(t *testing.T, pattern string, re *regexp.Regexp, least int) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		for _, m := range re.FindAllStringSubmatch(read(t, path), -1) {
			out = append(out, m[1])
		}
	}
	if len(out) < least {
		t.Fatalf("found %d of what is looked for in %s, want at least %d", len(out), pattern, least)
	}
	return out
}

func TestTheOperationsGuideNamesEveryErrorThatCrossesTheWire(t *testing.T) {
	text := read(t, "operations.md")
	for _, name := range found(t, "../structs/errors.go", wireError, 15) {
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("operations.md does not have `%s`", name)
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)#\s]+)(#[^)]*)?\)`)

func TestLinksLeadSomewhere(t *testing.T) {
	for _, path := range documents {
		for _, m := range link.FindAllStringSubmatch(read(t, path), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", filepath.Base(path), m[1], err)
			}
		}
	}
}

var (
	rung   = regexp.MustCompile(`\{pkg: "([^"]+)"(?:, may: \[\]string\{([^}]*)\})?`)
	quoted = regexp.MustCompile(`"([^"]+)"`)
)

func TestTheArchitectureHasTheWholeLadder(t *testing.T) {
	text := read(t, "ARCHITECTURE.md")
	rungs := rung.FindAllStringSubmatch(read(t, "../internal/archtest/ladder.go"), -1)
	if len(rungs) < 15 {
		t.Fatalf("found %d rungs in the ladder", len(rungs))
	}
	for _, m := range rungs {
		var imports []string
		for _, q := range quoted.FindAllStringSubmatch(m[2], -1) {
			imports = append(imports, q[1])
		}
		if imports == nil {
			imports = []string{"–"}
		}
		row := fmt.Sprintf("| `%s` | %s | ", m[1], strings.Join(imports, ", "))
		if !strings.Contains(text, row) {
			t.Errorf("ARCHITECTURE.md has no row that begins %q, as the ladder wants it", row)
		}
	}
}

var (
	shownRow  = regexp.MustCompile(`(?m)^\| (?:can|can't) \| .*$`)
	shownTest = regexp.MustCompile(`\x60([a-z0-9/]+)\.((?:Test|Fuzz)[A-Za-z0-9]+)\x60`)
	shownKeys = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9]+)\(`)
)

// Every sentence about what a stolen thing can and can't do names tests that there are.
func TestTheSecurityModelNamesTestsThatShowIt(t *testing.T) {
	text := read(t, "security.md")
	rows := shownRow.FindAllString(text, -1)
	if len(rows) < 20 {
		t.Fatalf("found %d sentences; do they still begin with can or can't?", len(rows))
	}
	for _, row := range rows {
		if cells := strings.Split(strings.Trim(row, "| "), "|"); len(cells) != 3 || !shownTest.MatchString(cells[2]) {
			t.Errorf("names no test: %s", row)
		}
	}
	known := map[string]bool{}
	for _, m := range shownTest.FindAllStringSubmatch(text, -1) {
		folder, name := m[1], m[2]
		if !known[folder] {
			known[folder] = true
			files, err := filepath.Glob(filepath.Join("..", folder, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range files {
				for _, f := range shownKeys.FindAllStringSubmatch(read(t, path), -1) {
					known[folder+"."+f[1]] = true
				}
			}
		}
		if !known[folder+"."+name] {
			t.Errorf("there is no test %s in %s", name, folder)
		}
	}
}
