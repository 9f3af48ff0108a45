//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// marker is a secret that was planted, and everything that it could be written as.
type marker struct {
	name  string
	forms map[string][]byte // by the name of the encoding
}

// allowance is a place where a secret is by design.
type allowance struct {
	place  string // as a prefix
	marker string
	why    string
}

// evidence is everything that the system wrote, by place. It is safe for concurrent use.
type evidence struct {
	mu      sync.Mutex
	markers []marker
	texts   map[string][]byte
}

// plant adds a secret that must be found nowhere.
func (e *evidence) plant(name string, secret []byte) {
	m := marker{name, map[string][]byte{"as it is": secret, "hex": []byte(hex.EncodeToString(secret))}}
	m.forms["upper-case hex"] = bytes.ToUpper(m.forms["hex"])
	m.forms["an escaped URL"] = []byte(url.QueryEscape(string(secret)))
	m.forms["an escaped path"] = []byte(url.PathEscape(string(secret)))
	text, _ := json.Marshal(string(secret)) // a string can be marshalled
	m.forms["JSON"] = bytes.Trim(text, `"`)
	m.forms["numbers"] = []byte(strings.Trim(fmt.Sprint(secret), "[]"))
	m.forms["numbers and commas"] = bytes.ReplaceAll(m.forms["numbers"], []byte(" "), []byte(","))
	m.forms["quoted"] = []byte(strings.Trim(fmt.Sprintf("%q", secret), `"`))
	for offset := range 3 { // within a text of which it is a part
		for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "URL base64": base64.RawURLEncoding} {
			whole := encoding.EncodeToString(append(make([]byte, offset), secret...))
			from, to := (offset*8+5)/6, (offset+len(secret))*8/6
			m.forms[fmt.Sprintf("%s, shifted by %d", name, offset)] = []byte(whole[from:to])
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.markers = append(e.markers, m)
}

// plantText makes a random text with a prefix, plants it and returns it.
func (e *evidence) plantText(name, prefix string) string {
	text := prefix + strings.ToLower(rand.Text())
	e.plant(name, []byte(text))
	return text
}

// plantUUID plants a random UUID and returns it.
func (e *evidence) plantUUID(name string) string {
	b := make([]byte, 16)
	rand.Read(b)
	id := fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	e.plant(name, []byte(id))
	return id
}

// plantKey plants 32 random bytes and returns them as configurations have them.
func (e *evidence) plantKey(name string) string {
	key := make([]byte, 32)
	rand.Read(key)
	e.plant(name, key)
	return base64.StdEncoding.EncodeToString(key)
}

// plantKeyFile plants the private key of a PEM file: its number, and its text.
func (e *evidence) plantKeyFile(t *testing.T, name, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatalf("%s is no PEM file", path)
	}
	var key any
	if key, err = x509.ParseECPrivateKey(block.Bytes); err != nil {
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	must(t, err)
	number, err := key.(*ecdsa.PrivateKey).Bytes()
	must(t, err)
	e.plant(name, number)
	e.plant(name+" as a file", []byte(strings.Split(string(text), "\n")[1]))
}

// note adds what was written at a place; of an archive, what is in it.
func (e *evidence) note(place string, text []byte) {
	if inner, err := unzip(text); err == nil {
		e.note(place, inner)
		return
	}
	if files, err := untar(text); err == nil && len(files) > 0 {
		for name, content := range files {
			e.note(place+": "+name, content)
		}
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.texts == nil {
		e.texts = map[string][]byte{}
	}
	e.texts[place] = append(append(e.texts[place], '\n'), text...)
}

// noteFiles adds every file below a directory.
func (e *evidence) noteFiles(t *testing.T, place, dir string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path) // it is below
		e.note(place+"/"+filepath.ToSlash(name), text)
		return err
	}))
}

// check fails the test for each secret at a place where it does not belong, and for each allowance that nothing needs.
func (e *evidence) check(t *testing.T, allowed []allowance) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	used := make([]bool, len(allowed))
	size := 0
	for place, text := range e.texts {
		size += len(text)
		for _, m := range e.markers {
			for form, want := range m.forms {
				at := bytes.Index(text, want)
				if at < 0 || e.expected(allowed, used, place, m.name) {
					continue
				}
				around := text[max(at-200, 0):min(at+len(want)+50, len(text))]
				t.Errorf("%s has the %s, %s: ...%q", place, m.name, form, around)
				break
			}
		}
	}
	for i, a := range allowed {
		if !used[i] {
			t.Errorf("the %s may be in %s (%s), and is not: the search finds too little, or the allowance is not needed", a.marker, a.place, a.why)
		}
	}
	t.Logf("searched %d places, %d KiB, for %d secrets", len(e.texts), size>>10, len(e.markers))
}

func (e *evidence) expected(allowed []allowance, used []bool, place, name string) bool {
	found := false
	for i, a := range allowed {
		if strings.HasPrefix(place, a.place) && strings.HasPrefix(name, a.marker) {
			used[i], found = true, true
		}
	}
	return found
}

func unzip(text []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func untar(text []byte) (map[string][]byte, error) {
	if len(text) < 512 || string(text[257:262]) != "ustar" {
		return nil, errors.New("no tar archive")
	}
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(text)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			return nil, err
		}
	}
}

// The search must find what it is there for.
func TestASecretIsFoundInEveryForm(t *testing.T) {
	e := &evidence{}
	secret := []byte("a/secret+with 32 bytes \x01\xff of text")
	e.plant("secret", secret)
	written := map[string]string{
		"raw": string(secret), "hex": hex.EncodeToString(secret), "upper hex": strings.ToUpper(hex.EncodeToString(secret)),
		"URL": url.QueryEscape(string(secret)), "path": url.PathEscape(string(secret)), "bytes": fmt.Sprint(secret), "quoted": fmt.Sprintf("%q", secret),
		"base64": base64.StdEncoding.EncodeToString(secret), "base64 of more": base64.StdEncoding.EncodeToString([]byte("more" + string(secret) + "and more")),
		"URL base64 of more": base64.URLEncoding.EncodeToString([]byte("longer" + string(secret) + "!")),
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = w.Write(secret) // into memory
	_ = w.Close()
	written["gzip"] = zipped.String()
	for place, text := range written {
		e.note(place, []byte("before "+text+" after"))
		if place == "gzip" {
			e.note(place, []byte(text))
		}
	}
	for place, text := range e.texts {
		found := false
		for _, form := range e.markers[0].forms {
			found = found || bytes.Contains(text, form)
		}
		if !found {
			t.Errorf("%s is not found in %q", place, text)
		}
	}
}
