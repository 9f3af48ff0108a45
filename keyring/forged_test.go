package keyring

import (
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

// ambiguous are payloads that another reader could read differently, all really signed.
func (f *forger) ambiguous() {
	good := strings.TrimSuffix(goodPayload(f.t), "}")
	for name, more := range map[string]string{
		"exp twice":                           `"exp":9999999999`,
		"node ID twice":                       `"nomad_node_id":"` + keyID(7) + `"`,
		"node ID twice, the same":             `"nomad_node_id":"` + keyID(1) + `"`,
		"pool twice, escaped":                 `"nomad_node_poo\u006c":"gpu"`,
		"a claim that nobody knows twice":     `"x":1,"x":2`,
		"audience in capitals":                `"AUD":"nomadproject.io"`,
		"exp in mixed case":                   `"eXp":9999999999`,
		"node ID in capitals":                 `"NOMAD_NODE_ID":"` + keyID(7) + `"`,
		"subject with a long s":               `"\u017fub":"x"`,
		"issuer with long s":                  `"i\u017f\u017f":"https://issuer.example"`,
		"an introduction's class in capitals": `"Rollcall_Node_Class":"x"`,
		"a job's ID in capitals":              `"Nomad_Job_ID":"x"`,
	} {
		for _, alg := range testAlgs {
			f.add("ambiguous: "+name+" ("+alg+")", f.sign(alg, f.header(alg), good+","+more+"}"), classInvalid, "")
		}
	}
}

// keyIDs are names of keys that are meant for something else than a look-up.
func (f *forger) keyIDs() {
	payload := goodPayload(f.t)
	for name, id := range map[string]string{
		"a path": `../../../../dev/null`, "a NUL": `\u0000`, "a URL": `https://evil.example/key.json`, "SQL": `' OR 1=1 --`,
		"a key and a path": f.ids[structs.AlgES256] + `/../x`, "a key and a NUL": f.ids[structs.AlgES256] + `\u0000`,
		"a key with a space": " " + f.ids[structs.AlgES256], "a key in capitals": strings.ToUpper(strings.Replace(f.ids[structs.AlgES256], "0", "a", 1)),
		"fullwidth digits": strings.ReplaceAll(f.ids[structs.AlgES256], "1", `\uff11`), "a template": `{{.Key}}`, "a shell's": `$(id)`,
	} {
		for _, alg := range testAlgs {
			header := fmt.Sprintf(`{"alg":%q,"kid":"%s","typ":"JWT"}`, alg, id)
			want := classInvalid
			if name == "a key in capitals" {
				want = classNoKey
			}
			f.add("key ID: "+name+" ("+alg+")", f.sign(alg, header, payload), want, "")
		}
	}
	long := fmt.Sprintf(`{"alg":"ES256","kid":%q,"typ":"JWT"}`, strings.Repeat("a", 64<<10))
	f.add("key ID: 64 KiB", f.sign(structs.AlgES256, long, payload), classInvalid, "at most")
}

func TestAmbiguousAndInjectedTokensAreRefused(t *testing.T) {
	f := newForger(t)
	f.ambiguous()
	f.keyIDs()
	for _, c := range f.list {
		t.Run(c.name, func(t *testing.T) {
			claims, err := f.k.Verify(c.token, testNow)
			if err == nil || claims != nil {
				t.Fatalf("accepted: %+v", claims)
			}
			if got := classOf(t, err); got != c.want || !strings.Contains(err.Error(), c.text) || len(err.Error()) > 300 {
				t.Fatalf("class %d, want %d, and %q in: %v", got, c.want, c.text, err)
			}
		})
	}
}

// split returns a good token's signing input and signature.
func (f *forger) split(alg string) (input string, sig []byte) {
	f.t.Helper()
	token := f.sign(alg, f.header(alg), goodPayload(f.t))
	i := strings.LastIndexByte(token, '.')
	sig, err := base64.RawURLEncoding.DecodeString(token[i+1:])
	if err != nil {
		f.t.Fatal(err)
	}
	return token[:i], sig
}

func TestNumbersOfASignatureAreInTheirRange(t *testing.T) {
	f := newForger(t)
	p256, _ := new(big.Int).SetString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)
	l25519, _ := new(big.Int).SetString("1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed", 16)
	input, sig := f.split(structs.AlgES256)
	r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
	pair := func(r, s *big.Int) []byte {
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
	zero, one := new(big.Int), big.NewInt(1)
	refused := map[string][]byte{
		"r of 0": pair(zero, s), "s of 0": pair(r, zero), "both 0": pair(zero, zero), "r of the order": pair(p256, s),
		"s of the order": pair(r, p256), "r and s swapped": pair(s, r), "r of 1 and s of 1": pair(one, one),
	}
	for name, sig := range refused {
		if _, err := f.k.Verify(input+"."+b64(sig), testNow); classOf(t, err) != classInvalid {
			t.Errorf("ES256 with %s: %v", name, err)
		}
	}
	input, sig = f.split(structs.AlgEdDSA)
	scalar := slices.Clone(sig[32:])
	slices.Reverse(scalar)
	more := new(big.Int).Add(new(big.Int).SetBytes(scalar), l25519).FillBytes(make([]byte, 32))
	slices.Reverse(more)
	if _, err := f.k.Verify(input+"."+b64(append(slices.Clone(sig[:32]), more...)), testNow); classOf(t, err) != classInvalid {
		t.Errorf("EdDSA with the order added: %v", err)
	}
	input, sig = f.split(structs.AlgRS256)
	for name, sig := range map[string][]byte{"a zero before": append([]byte{0}, sig...), "no first byte": sig[1:], "1": append(make([]byte, len(sig)-1), 1)} {
		if _, err := f.k.Verify(input+"."+b64(sig), testNow); classOf(t, err) != classInvalid {
			t.Errorf("RS256 with %s: %v", name, err)
		}
	}
}

// RFC 7518 lets s be either of two numbers, so a signature has a twin that anyone can compute. It says nothing else than
// the first, and nothing here takes a token's text for the name of an identity.
func TestTheTwinOfAnES256SignatureSaysTheSame(t *testing.T) {
	f := newForger(t)
	p256, _ := new(big.Int).SetString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)
	input, sig := f.split(structs.AlgES256)
	want, err := f.k.Verify(input+"."+b64(sig), testNow)
	if err != nil {
		t.Fatal(err)
	}
	s := new(big.Int).Sub(p256, new(big.Int).SetBytes(sig[32:]))
	got, err := f.k.Verify(input+"."+b64(append(slices.Clone(sig[:32]), s.FillBytes(make([]byte, 32))...)), testNow)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-first +twin):\n%s", d)
	}
}
