package keyring

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

// class is what kind of error a token must be refused with.
type class int

const (
	classInvalid class = iota
	classExpired
	classNoKey
)

func classOf(t *testing.T, err error) class {
	t.Helper()
	is := map[class]bool{classInvalid: errors.Is(err, structs.ErrTokenInvalid), classExpired: errors.Is(err, structs.ErrTokenExpired),
		classNoKey: errors.Is(err, ErrNoSuchKey)}
	n, found := 0, class(-1)
	for c, yes := range is {
		if yes {
			n, found = n+1, c
		}
	}
	if n != 1 {
		t.Fatalf("error %q belongs to %d classes, want one", err, n)
	}
	return found
}

type forgery struct {
	name  string
	token string
	want  class
	text  string // part of the error
}

// forger makes tokens that are wrong in one way, over a ring of one key of each algorithm.
type forger struct {
	t    *testing.T
	k    *Keyring
	ids  map[string]string // by algorithm
	list []forgery
}

func newForger(t *testing.T) *forger {
	f := &forger{t: t, ids: map[string]string{}}
	var roots []*structs.RootKey
	for i, alg := range testAlgs {
		state := structs.KeyStateInactive
		if i == 0 {
			state = structs.KeyStateActive
		}
		root := testRootKey(t, alg, i+1, state)
		f.ids[alg] = root.KeyID
		roots = append(roots, root)
	}
	f.k = newKeyring(t, Config{Issuer: "https://issuer.example"}, roots...)
	return f
}

func (f *forger) add(name, token string, want class, text string) {
	f.list = append(f.list, forgery{name, token, want, text})
}

func (f *forger) key(alg string) *key { return f.k.current.Load().keys[f.ids[alg]] }

// sign really signs whatever it is given.
func (f *forger) sign(alg, header, payload string) string {
	f.t.Helper()
	s := b64([]byte(header)) + "." + b64([]byte(payload))
	sig, err := f.key(alg).sign(s)
	if err != nil {
		f.t.Fatal(err)
	}
	return s + "." + b64(sig)
}

func (f *forger) header(alg string) string {
	return fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":"JWT"}`, alg, f.ids[alg])
}

func goodPayload(t *testing.T) string {
	t.Helper()
	b, err := nodeClaims(1).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// with returns the good payload with members replaced, or removed where the value is nil.
func with(t *testing.T, members map[string]any) string {
	t.Helper()
	var m map[string]any
	dec := json.NewDecoder(strings.NewReader(goodPayload(t)))
	dec.UseNumber()
	if err := dec.Decode(&m); err != nil {
		t.Fatal(err)
	}
	for name, v := range members {
		if m[name] = v; v == nil {
			delete(m, name)
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (f *forger) shapes() {
	t := f.t
	good := f.sign(structs.AlgES256, f.header(structs.AlgES256), goodPayload(t))
	parts := strings.Split(good, ".")
	h, p, s := parts[0], parts[1], parts[2]
	for name, token := range map[string]string{
		"empty": "", "one dot": ".", "two dots": "..", "three dots": "...", "a space": " ", "a NUL": "\x00",
		"header alone": h, "header and dot": h + ".", "no signature segment": h + "." + p,
		"four segments": good + ".x", "a fourth empty segment": good + ".", "a leading dot": "." + good,
		"a leading space": " " + good, "a trailing space": good + " ", "a trailing line break": good + "\n",
		"a line break in the header":    h[:9] + "\n" + h[9:] + "." + p + "." + s,
		"a line break in the payload":   h + "." + p[:9] + "\r\n" + p[9:] + "." + s,
		"a line break in the signature": h + "." + p + "." + s[:9] + "\n" + s[9:],
		"padding at the signature":      good + "=", "padding at the header": h + "==." + p + "." + s,
		"standard base64 plus": h + "." + p + "." + "+" + s[1:], "standard base64 slash": h + "." + p + "./" + s[1:],
		"a Bearer prefix": "Bearer " + good, "quotes around it": `"` + good + `"`, "a UUID": keyID(1),
		"JSON serialization":               `{"payload":"` + p + `","protected":"` + h + `","signature":"` + s + `"}`,
		"encrypted token of five segments": "a.b.c.d.e", "non-ASCII": good[:20] + "é" + good[20:],
		"longer than the cap": h + "." + strings.Repeat("A", MaxTokenSize) + "." + s,
		"the header twice":    h + "." + h + "." + s, "the payload twice": p + "." + p + "." + s,
		"segments in reverse": s + "." + p + "." + h, "empty header": "." + p + "." + s,
		"header of one letter": "A." + p + "." + s,
	} {
		f.add("shape: "+name, token, classInvalid, "")
	}
	f.add("signature: missing", h+"."+p+".", classInvalid, "invalid signature")
	f.add("payload: empty segment", h+".."+s, classInvalid, "")
}

func (f *forger) headers() {
	id, payload := f.ids[structs.AlgES256], goodPayload(f.t)
	for name, c := range map[string]struct{ header, text string }{
		"no kid":                    {`{"alg":"ES256","typ":"JWT"}`, "missing key ID header"},
		"empty kid":                 {`{"alg":"ES256","kid":"","typ":"JWT"}`, "missing key ID header"},
		"kid a number":              {`{"alg":"ES256","kid":1,"typ":"JWT"}`, "missing key ID header"},
		"kid null":                  {`{"alg":"ES256","kid":null,"typ":"JWT"}`, "missing key ID header"},
		"kid an array":              {`{"alg":"ES256","kid":["` + id + `"],"typ":"JWT"}`, "missing key ID header"},
		"kid an object":             {`{"alg":"ES256","kid":{},"typ":"JWT"}`, "missing key ID header"},
		"kid in capitals":           {`{"alg":"ES256","KID":"` + id + `","typ":"JWT"}`, "besides"},
		"kid twice":                 {`{"alg":"ES256","kid":"` + id + `","kid":"` + id + `","typ":"JWT"}`, "kid twice"},
		"kid twice, one escaped":    {`{"alg":"ES256","kid":"` + id + `","\u006bid":"` + id + `","typ":"JWT"}`, "kid twice"},
		"alg twice":                 {`{"alg":"none","alg":"ES256","kid":"` + id + `","typ":"JWT"}`, "alg twice"},
		"typ twice":                 {`{"alg":"ES256","kid":"` + id + `","typ":"JWT","typ":"JWT"}`, "typ twice"},
		"kid a path":                {`{"alg":"ES256","kid":"../../etc/passwd","typ":"JWT"}`, "not a UUID"},
		"kid with a suffix":         {`{"alg":"ES256","kid":"` + id + `.rsa","typ":"JWT"}`, "not a UUID"},
		"kid with a space":          {`{"alg":"ES256","kid":" ` + id + `","typ":"JWT"}`, "not a UUID"},
		"kid with a NUL":            {`{"alg":"ES256","kid":"` + id + `\u0000","typ":"JWT"}`, "not a UUID"},
		"no alg":                    {`{"kid":"` + id + `","typ":"JWT"}`, "algorithm"},
		"alg empty":                 {`{"alg":"","kid":"` + id + `","typ":"JWT"}`, "alg"},
		"alg a number":              {`{"alg":256,"kid":"` + id + `","typ":"JWT"}`, "alg"},
		"no typ":                    {`{"alg":"ES256","kid":"` + id + `"}`, "type"},
		"typ JOSE":                  {`{"alg":"ES256","kid":"` + id + `","typ":"JOSE"}`, "type"},
		"typ at+jwt":                {`{"alg":"ES256","kid":"` + id + `","typ":"at+jwt"}`, "type"},
		"typ in small letters":      {`{"alg":"ES256","kid":"` + id + `","typ":"jwt"}`, "type"},
		"typ a number":              {`{"alg":"ES256","kid":"` + id + `","typ":1}`, "typ"},
		"crit":                      {`{"alg":"ES256","crit":["exp"],"kid":"` + id + `","typ":"JWT"}`, "besides"},
		"crit empty":                {`{"alg":"ES256","crit":[],"kid":"` + id + `","typ":"JWT"}`, "besides"},
		"b64 false":                 {`{"alg":"ES256","b64":false,"kid":"` + id + `","typ":"JWT"}`, "besides"},
		"b64 true":                  {`{"alg":"ES256","b64":true,"kid":"` + id + `","typ":"JWT"}`, "besides"},
		"an embedded key":           {`{"alg":"ES256","jwk":{"kty":"EC"},"kid":"` + id + `","typ":"JWT"}`, "besides"},
		"a key's address":           {`{"alg":"ES256","jku":"https://evil.example","kid":"` + id + `","typ":"JWT"}`, "besides"},
		"a certificate":             {`{"alg":"ES256","kid":"` + id + `","typ":"JWT","x5c":["AA"]}`, "besides"},
		"a certificate's address":   {`{"alg":"ES256","kid":"` + id + `","typ":"JWT","x5u":"https://evil.example"}`, "besides"},
		"a content type":            {`{"alg":"ES256","cty":"JWT","kid":"` + id + `","typ":"JWT"}`, "besides"},
		"compression":               {`{"alg":"ES256","kid":"` + id + `","typ":"JWT","zip":"DEF"}`, "besides"},
		"an array":                  {`["ES256"]`, "not a JSON object"},
		"null":                      {`null`, "not a JSON object"},
		"a string":                  {`"ES256"`, "not a JSON object"},
		"an empty object":           {`{}`, "missing key ID header"},
		"cut short":                 {`{"alg":"ES256","kid":"` + id + `"`, "JSON"},
		"text after it":             {`{"alg":"ES256","kid":"` + id + `","typ":"JWT"}{}`, "after"},
		"a comma too many":          {`{"alg":"ES256","kid":"` + id + `","typ":"JWT",}`, "JSON"},
		"not JSON":                  {`alg=ES256`, "JSON"},
		"a byte order mark":         {"\ufeff" + `{"alg":"ES256","kid":"` + id + `","typ":"JWT"}`, "JSON"},
		"single quotes":             {`{'alg':'ES256'}`, "JSON"},
		"an object within":          {`{"alg":{"alg":"ES256"},"kid":"` + id + `","typ":"JWT"}`, "alg"},
		"an empty parameter's name": {`{"":"x","alg":"ES256","kid":"` + id + `","typ":"JWT"}`, "besides"},
	} {
		f.add("header: "+name, f.sign(structs.AlgES256, c.header, payload), classInvalid, c.text)
	}
	unknown := strings.Replace(f.header(structs.AlgES256), id, keyID(99), 1)
	f.add("header: a key that is not there", f.sign(structs.AlgES256, unknown, payload), classNoKey,
		`no such key "`+keyID(99)+`" in keyring`)
	f.add("header: expired too, under a key that is not there",
		f.sign(structs.AlgES256, unknown, with(f.t, map[string]any{"exp": 5})), classNoKey, "")
}

func (f *forger) algorithms() {
	t, payload := f.t, goodPayload(f.t)
	names := append([]string{"none", "None", "NONE", "nOnE", "HS256", "HS384", "HS512", "ES384", "ES512", "PS256", "RS384",
		"RS512", "ES256K", "Ed25519", "es256", "rs256", "EDDSA", "dir", "RSA-OAEP"}, testAlgs...)
	for _, keyAlg := range testAlgs {
		for _, claimed := range names {
			header := fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":"JWT"}`, claimed, f.ids[keyAlg])
			s := b64([]byte(header)) + "." + b64([]byte(payload))
			switch {
			case claimed == keyAlg:
				// The right name over another key's signature.
				for _, other := range testAlgs {
					if other != keyAlg {
						f.add(fmt.Sprintf("alg: %s key's token signed by the %s key", keyAlg, other), f.sign(other, header, payload),
							classInvalid, "invalid signature")
					}
				}
			case strings.EqualFold(claimed, "none"):
				f.add(fmt.Sprintf("alg: %s on %s key, unsigned", claimed, keyAlg), s+".", classInvalid, "algorithm")
			case strings.HasPrefix(claimed, "HS"):
				// The public key as the HMAC secret, in the form that anyone can fetch.
				mac := hmac.New(sha256.New, f.key(keyAlg).pubDER)
				mac.Write([]byte(s))
				f.add(fmt.Sprintf("alg: %s keyed by the public %s key", claimed, keyAlg), s+"."+b64(mac.Sum(nil)), classInvalid, "algorithm")
			default:
				f.add(fmt.Sprintf("alg: %s on %s key, signed with that key", claimed, keyAlg), f.sign(keyAlg, header, payload),
					classInvalid, "")
			}
		}
	}
	for _, alg := range testAlgs {
		good := f.sign(alg, f.header(alg), payload)
		parts := strings.Split(good, ".")
		sig, err := base64.RawURLEncoding.DecodeString(parts[2])
		if err != nil {
			t.Fatal(err)
		}
		resign := func(name string, sig []byte) {
			f.add("signature: "+alg+" "+name, parts[0]+"."+parts[1]+"."+b64(sig), classInvalid, "invalid signature")
		}
		flip := func(i int) []byte {
			c := append([]byte(nil), sig...)
			c[i] ^= 1
			return c
		}
		resign("with its first bit flipped", flip(0))
		resign("with a bit in the middle flipped", flip(len(sig)/2))
		resign("with its last bit flipped", flip(len(sig)-1))
		resign("cut by a byte", sig[:len(sig)-1])
		resign("longer by a byte", append(append([]byte(nil), sig...), 0))
		resign("of zeros", make([]byte, len(sig)))
		resign("of one byte", []byte{1})
		resign("twice", append(append([]byte(nil), sig...), sig...))
		changed := strings.Replace(payload, `"default"`, `"gpu"`, 1)
		f.add("signature: "+alg+" of another payload", parts[0]+"."+b64([]byte(changed))+"."+parts[2], classInvalid, "invalid signature")
		f.add("signature: "+alg+" of another header", b64([]byte(f.header(alg)+" "))+"."+parts[1]+"."+parts[2], classInvalid, "invalid signature")
	}
	// ECDSA as other formats write it.
	s := b64([]byte(f.header(structs.AlgES256))) + "." + b64([]byte(payload))
	sum := sha256.Sum256([]byte(s))
	k := f.key(structs.AlgES256)
	der, err := k.priv.(crypto.Signer).Sign(nil, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	f.add("signature: ES256 as ASN.1", s+"."+b64(der), classInvalid, "invalid signature")
}

func (f *forger) payloads() {
	now := testNow.Unix()
	for name, payload := range map[string]string{
		"empty": ``, "not JSON": `x`, "null": `null`, "an array": `[]`, "a string": `"x"`, "a number": `1`, "true": `true`,
		"an empty object": `{}`, "cut short": goodPayload(f.t)[:50], "two objects": goodPayload(f.t) + `{}`,
		"no claim that names a kind":          `{"aud":"nomadproject.io","exp":9999999999,"nomad_node_pool":"default"}`,
		"no exp":                              with(f.t, map[string]any{"exp": nil}),
		"exp null":                            `{"aud":"nomadproject.io","exp":null,"nomad_node_id":"x"}`,
		"exp zero":                            with(f.t, map[string]any{"exp": 0}),
		"exp negative":                        with(f.t, map[string]any{"exp": -1}),
		"exp a string":                        with(f.t, map[string]any{"exp": "9999999999"}),
		"exp a fraction":                      with(f.t, map[string]any{"exp": 9999999999.5}),
		"exp beyond 64 bits":                  `{"aud":"nomadproject.io","exp":99999999999999999999,"nomad_node_id":"x"}`,
		"exp an object":                       `{"aud":"nomadproject.io","exp":{},"nomad_node_id":"x"}`,
		"exp true":                            `{"aud":"nomadproject.io","exp":true,"nomad_node_id":"x"}`,
		"iat a string":                        with(f.t, map[string]any{"iat": "1"}),
		"nbf an array":                        with(f.t, map[string]any{"nbf": []int{1}}),
		"no audience":                         with(f.t, map[string]any{"aud": nil}),
		"another audience":                    with(f.t, map[string]any{"aud": "vault.example"}),
		"an audience that has ours as a part": with(f.t, map[string]any{"aud": "nomadproject.io.evil.example"}),
		"other audiences":                     with(f.t, map[string]any{"aud": []string{"a", "b"}}),
		"no audiences":                        with(f.t, map[string]any{"aud": []string{}}),
		"audience a number":                   with(f.t, map[string]any{"aud": 1}),
		"audience with a number":              with(f.t, map[string]any{"aud": []any{"nomadproject.io", 1}}),
		"another issuer":                      with(f.t, map[string]any{"iss": "https://evil.example"}),
		"the issuer with a slash":             with(f.t, map[string]any{"iss": "https://issuer.example/"}),
		"issuer a number":                     with(f.t, map[string]any{"iss": 1}),
		"node ID a number":                    with(f.t, map[string]any{"nomad_node_id": 1}),
		"subject an object":                   with(f.t, map[string]any{"sub": map[string]any{}}),
		"not yet valid":                       with(f.t, map[string]any{"nbf": now + 61}),
		"issued in the future":                with(f.t, map[string]any{"iat": now + 61}),
		"nbf at the end of time":              with(f.t, map[string]any{"nbf": math.MaxInt64}),
		"expired and another issuer":          with(f.t, map[string]any{"exp": now - 100, "iss": "https://evil.example"}),
		"expired, another audience":           with(f.t, map[string]any{"exp": now - 100, "aud": "x"}),
		"expired, not yet valid":              with(f.t, map[string]any{"exp": now - 100, "nbf": now + 100}),
		"expired, from the future":            with(f.t, map[string]any{"exp": now - 100, "iat": now + 100}),
		"an introduction for others":          `{"aud":"x","exp":9999999999,"nomad_node_name":""}`,
	} {
		for _, alg := range testAlgs {
			f.add("payload: "+name+" ("+alg+")", f.sign(alg, f.header(alg), payload), classInvalid, "")
		}
	}
	for name, exp := range map[string]any{"a day ago": now - 86400, "past the leeway": now - 61, "in the first second of 1970": 1} {
		for _, alg := range testAlgs {
			f.add("expired: "+name+" ("+alg+")", f.sign(alg, f.header(alg), with(f.t, map[string]any{"exp": exp})), classExpired, "")
		}
	}
}

// Every way to be wrong is refused, with the error of its class, each time it is tried.
func TestForgedTokensAreRefused(t *testing.T) {
	f := newForger(t)
	f.shapes()
	f.headers()
	f.algorithms()
	f.payloads()
	if len(f.list) < 120 {
		t.Fatalf("the battery has %d tokens; want at least 120", len(f.list))
	}
	for _, c := range f.list {
		t.Run(c.name, func(t *testing.T) {
			for range 2 { // the second time it may come from the cache
				claims, err := f.k.Verify(c.token, testNow)
				if err == nil {
					t.Fatalf("accepted: %+v", claims)
				}
				if claims != nil {
					t.Fatal("claims beside an error")
				}
				if got := classOf(t, err); got != c.want {
					t.Fatalf("class %d, want %d: %v", got, c.want, err)
				}
				if !strings.Contains(err.Error(), c.text) {
					t.Fatalf("error %q does not contain %q", err, c.text)
				}
				if len(err.Error()) > 300 {
					t.Fatalf("error of %d bytes", len(err.Error()))
				}
			}
		})
	}
	// What the forgeries differ from is accepted.
	for _, alg := range testAlgs {
		if _, err := f.k.Verify(f.sign(alg, f.header(alg), goodPayload(t)), testNow); err != nil {
			t.Errorf("the good %s token: %v", alg, err)
		}
	}
}

func TestForeignSpellingsAreAccepted(t *testing.T) {
	f := newForger(t)
	id := f.ids[structs.AlgES256]
	for name, token := range map[string]string{
		"header in another order":   f.sign(structs.AlgES256, `{"typ":"JWT","kid":"`+id+`","alg":"ES256"}`, goodPayload(t)),
		"header with white space":   f.sign(structs.AlgES256, `{ "alg" : "ES256", "kid":"`+id+`","typ":"JWT" } `, goodPayload(t)),
		"audience as an array":      f.sign(structs.AlgES256, f.header(structs.AlgES256), with(t, map[string]any{"aud": []string{"x", "nomadproject.io"}})),
		"the configured issuer":     f.sign(structs.AlgES256, f.header(structs.AlgES256), with(t, map[string]any{"iss": "https://issuer.example"})),
		"no issuer":                 f.sign(structs.AlgES256, f.header(structs.AlgES256), with(t, map[string]any{"iss": nil})),
		"neither iat nor nbf":       f.sign(structs.AlgES256, f.header(structs.AlgES256), with(t, map[string]any{"iat": nil, "nbf": nil})),
		"claims nobody knows":       f.sign(structs.AlgES256, f.header(structs.AlgES256), with(t, map[string]any{"extra": map[string]any{"a": 1}})),
		"expiry at the end of time": f.sign(structs.AlgES256, f.header(structs.AlgES256), with(t, map[string]any{"exp": math.MaxInt64})),
	} {
		if _, err := f.k.Verify(token, testNow); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTimesAreExactToTheSecond(t *testing.T) {
	f := newForger(t)
	base := testNow.Unix()
	const leeway = 60
	for _, c := range []struct {
		name    string
		members map[string]any
		now     time.Time
		want    error
	}{
		{"at the expiry", map[string]any{"exp": base}, testNow, nil},
		{"at the last second of the leeway", map[string]any{"exp": base}, testNow.Add(leeway * time.Second), nil},
		{"a nanosecond past the leeway", map[string]any{"exp": base}, testNow.Add(leeway*time.Second + 1), structs.ErrTokenExpired},
		{"a second past the leeway", map[string]any{"exp": base}, testNow.Add((leeway + 1) * time.Second), structs.ErrTokenExpired},
		{"at nbf", map[string]any{"nbf": base}, testNow, nil},
		{"a leeway before nbf", map[string]any{"nbf": base + leeway}, testNow, nil},
		{"a second more before nbf", map[string]any{"nbf": base + leeway + 1}, testNow, structs.ErrTokenInvalid},
		{"a nanosecond more before nbf", map[string]any{"nbf": base + leeway}, testNow.Add(-1), structs.ErrTokenInvalid},
		{"at iat", map[string]any{"iat": base}, testNow, nil},
		{"a leeway before iat", map[string]any{"iat": base + leeway}, testNow, nil},
		{"a second more before iat", map[string]any{"iat": base + leeway + 1}, testNow, structs.ErrTokenInvalid},
		{"a nanosecond more before iat", map[string]any{"iat": base + leeway}, testNow.Add(-1), structs.ErrTokenInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			members := map[string]any{"iat": nil, "nbf": nil}
			for n, v := range c.members {
				members[n] = v
			}
			token := f.sign(structs.AlgES256, f.header(structs.AlgES256), with(t, members))
			for _, from := range []string{"the signature", "the cache"} {
				if _, err := f.k.Verify(token, c.now); !errors.Is(err, c.want) {
					t.Errorf("from %s: got %v, want %v", from, err, c.want)
				}
			}
		})
	}
}

func TestEveryKindGoesRoundWithEveryAlgorithm(t *testing.T) {
	for _, alg := range testAlgs {
		for _, claims := range []*structs.IdentityClaims{nodeClaims(1), introClaims(), workloadClaims()} {
			t.Run(alg+" "+claims.Kind().String(), func(t *testing.T) {
				signer, other := activeRing(t, alg), activeRing(t, alg)
				signed, err := signer.Sign(claims)
				if err != nil {
					t.Fatal(err)
				}
				if signed.KeyID != keyID(1) {
					t.Errorf("signed by %s", signed.KeyID)
				}
				for name, k := range map[string]*Keyring{"the signing server": signer, "another server": other} {
					for range 2 {
						got, err := k.Verify(signed.Token, testNow)
						if err != nil {
							t.Fatalf("%s: %v", name, err)
						}
						if d := cmp.Diff(claims, got); d != "" {
							t.Errorf("%s (-signed +verified):\n%s", name, d)
						}
					}
				}
			})
		}
	}
}

func TestARememberedTokenDiesWithItsKey(t *testing.T) {
	root, successor := testRootKey(t, structs.AlgES256, 1, structs.KeyStateActive), testRootKey(t, structs.AlgES256, 2, structs.KeyStateActive)
	k := newKeyring(t, Config{}, root)
	token := mustSign(t, k, nodeClaims(1))
	if _, err := k.Verify(token, testNow); err != nil {
		t.Fatal(err)
	}
	k.Set(context.Background(), []*structs.RootKey{successor})
	if _, err := k.Verify(token, testNow); !errors.Is(err, ErrNoSuchKey) {
		t.Fatalf("after its key was dropped: %v", err)
	}
	k.Set(context.Background(), []*structs.RootKey{successor, root})
	if _, err := k.Verify(token, testNow); err != nil {
		t.Fatalf("after its key came back: %v", err)
	}
}

func TestARememberedTokenExpires(t *testing.T) {
	k := activeRing(t, structs.AlgES256)
	c := nodeClaims(1)
	token := mustSign(t, k, c)
	if _, err := k.Verify(token, testNow); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Verify(token, c.ExpiresAt().Add(structs.IdentityLeeway+time.Second)); !errors.Is(err, structs.ErrTokenExpired) {
		t.Fatalf("got %v", err)
	}
}

func TestVerifyWaitIsWokenByTheKey(t *testing.T) {
	root := testRootKey(t, structs.AlgES256, 1, structs.KeyStateActive)
	token := mustSign(t, newKeyring(t, Config{}, root), nodeClaims(1))
	synctest.Test(t, func(t *testing.T) {
		k := newKeyring(t, Config{})
		go func() {
			time.Sleep(300 * time.Millisecond)
			k.Set(context.Background(), []*structs.RootKey{root})
		}()
		start := time.Now()
		if _, err := k.VerifyWait(context.Background(), token, testNow); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 300*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

func TestVerifyWaitGivesUp(t *testing.T) {
	root := testRootKey(t, structs.AlgES256, 1, structs.KeyStateActive)
	token := mustSign(t, newKeyring(t, Config{}, root), nodeClaims(1))
	synctest.Test(t, func(t *testing.T) {
		k := newKeyring(t, Config{})
		start := time.Now()
		_, err := k.VerifyWait(context.Background(), token, testNow)
		if !errors.Is(err, ErrNoSuchKey) || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		start = time.Now()
		_, err = k.VerifyWait(ctx, token, testNow)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrNoSuchKey) || time.Since(start) != 100*time.Millisecond {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		start = time.Now()
		if _, err = k.VerifyWait(context.Background(), "x", testNow); !errors.Is(err, structs.ErrTokenInvalid) || time.Since(start) != 0 {
			t.Errorf("waited %v for a token that no key makes right: %v", time.Since(start), err)
		}
	})
}

// FuzzVerify knows one key whose signatures it never sees, so nothing may be accepted.
func FuzzVerify(f *testing.F) {
	k := newKeyring(f, Config{}, testRootKey(f, structs.AlgES256, 1, structs.KeyStateActive))
	other := newKeyring(f, Config{}, testRootKey(f, structs.AlgEdDSA, 1, structs.KeyStateActive))
	f.Add(mustSign(f, other, nodeClaims(1)))
	f.Add(mustSign(f, other, workloadClaims()))
	header := func(h string) string { return b64([]byte(h)) }
	f.Add(header(`{"alg":"ES256","kid":"`+keyID(1)+`","typ":"JWT"}`) + "." + b64([]byte(`{"exp":9999999999,"nomad_node_id":"x"}`)) + "." + b64(make([]byte, 64)))
	f.Add(header(`{"alg":"none","kid":"`+keyID(1)+`","typ":"JWT"}`) + ".e30.")
	f.Add(header(`{"alg":"ES256","alg":["x"],"crit":{}}`) + ".bnVsbA.")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		c, err := k.Verify(token, testNow)
		if err == nil || c != nil {
			t.Fatalf("accepted %q: %+v", token, c)
		}
		if !errors.Is(err, structs.ErrTokenInvalid) && !errors.Is(err, ErrNoSuchKey) {
			t.Fatalf("%q: error of no class: %v", token, err)
		}
	})
}
