package replay

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rollcall-id/rollcall/structs"
)

func TestMaskedBodiesShowAllButSecrets(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 30, 0, 5, time.FixedZone("", -12600))
	hidden := func(names ...string) map[string]any {
		m := map[string]any{}
		for _, n := range names {
			m[n] = "marker"
		}
		return m
	}
	for _, c := range []struct {
		name string
		in   any
		want string
	}{
		{"plain values stay", map[string]any{"Name": "n", "N": 7, "Neg": -3, "U": uint64(math.MaxUint64), "F": 1.5, "B": true, "Nil": nil, "L": []string{"a"}},
			`{"B":true,"F":1.5,"L":["a"],"N":7,"Name":"n","Neg":-3,"Nil":null,"U":18446744073709551615}`},
		{"a node's secret", &structs.DrainSpec{Deadline: 5}, `{"Deadline":5,"IgnoreSystemJobs":false}`},
		{"names of secrets", hidden("SecretID", "AuthToken", "SecretHash", "IdempotencyToken", "OneTimeSecretID", "BootstrapSecret", "db_password", "API-Key",
			"private.key", "KeyEncryptionKey", "RSAKey", "Ciphertext", "Key", "aws_secret_access_key", "VaultToken"),
			`{"API-Key":"[masked]","AuthToken":"[masked]","BootstrapSecret":"[masked]","Ciphertext":"[masked]","IdempotencyToken":"[masked]","Key":"[masked]",` +
				`"KeyEncryptionKey":"[masked]","OneTimeSecretID":"[masked]","RSAKey":"[masked]","SecretHash":"[masked]","SecretID":"[masked]","VaultToken":"[masked]",` +
				`"aws_secret_access_key":"[masked]","db_password":"[masked]","private.key":"[masked]"}`},
		{"names that only look like it", map[string]any{"KeyID": "k", "IdentitySigningKeyID": "k", "ProviderID": "aead"}, `{"IdentitySigningKeyID":"k","KeyID":"k","ProviderID":"aead"}`},
		{"empty secrets stay", map[string]any{"SecretID": "", "AuthToken": nil, "Tokens": []any{}, "Token": false}, `{"AuthToken":null,"SecretID":"","Token":false,"Tokens":[]}`},
		{"access tokens keep what names them", map[string]any{"Tokens": []any{map[string]any{"AccessorID": "a", "SecretID": "marker", "Name": "n", "Other": "marker", "Policies": []string{"p"}}}},
			`{"Tokens":[{"AccessorID":"a","Name":"n","Other":"[masked]","Policies":["p"],"SecretID":"[masked]"}]}`},
		{"wrapped keys keep their provider", map[string]any{"WrappedKeys": []any{map[string]any{"Provider": "aead", "KeyEncryptionKey": "marker", "WrappedRSAKey": map[string]any{"Iv": "marker", "Name": "marker"}}}},
			`{"WrappedKeys":[{"KeyEncryptionKey":"[masked]","Provider":"aead","WrappedRSAKey":{"Iv":"[masked]","Name":"[masked]"}}]}`},
		{"everything below a secret", map[string]any{"Secrets": map[string]any{"Name": "marker", "Deep": []any{map[string]any{"ID": "marker", "N": 5, "F": 0.5}}}},
			`{"Secrets":{"Deep":[{"F":"[masked]","ID":"[masked]","N":"[masked]"}],"Name":"[masked]"}}`},
		{"a job's environment", map[string]any{"Job": map[string]any{"Env": map[string]any{"DB": "marker"}, "ID": "web"}}, `{"Job":{"Env":{"DB":"[masked]"},"ID":"web"}}`},
		{"times, hashes and longer bytes", map[string]any{"At": at, "Hash": []byte{0xff, 0x01}, "Data": []byte(strings.Repeat("\xff", 65))},
			`{"At":"2026-03-01T16:00:00.000000005Z","Data":"[65 bytes]","Hash":"0xff01"}`},
		{"numbers that JSON has not", map[string]any{"F": math.Inf(1), "G": math.NaN()}, `{"F":"+Inf","G":"NaN"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			body, err := structs.EncodeBytes(c.in)
			if err != nil {
				t.Fatal(err)
			}
			got, err := maskedJSON(body)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestAnEntryThatCannotBeDecodedIsShownWithTheReason(t *testing.T) {
	t.Parallel()
	whole := command(t, structs.NodeRegisterMsg, map[string]any{"SecretID": "marker"})
	logs := entries(t, [][]byte{
		whole[:len(whole)-3], nil, append(command(t, structs.NodeDeregisterMsg, "x"), 1), {99, 0x81, 0xa5, 'T', 'o', 'k', 'e', 'n', 0xa6, 'm', 'a', 'r', 'k', 'e', 'r'},
		{128 + 98, 0x80},
	})
	d := openDir(t, writeDir(t, logs))
	var got []string
	err := d.Entries(t.Context(), Filter{From: 3}, func(e *Entry) error {
		b, err := json.Marshal(e)
		if strings.Contains(string(b), "marker") {
			t.Errorf("entry %d shows a secret: %s", e.Index, b)
		}
		got = append(got, fmt.Sprintf("%d %s %s %t", e.Index, e.Message, e.Body, e.Error != ""))
		return err
	}, func(p *Problem) error { return p })
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"3 NodeRegister  true", "4   true", "5 NodeDeregister  true", `6 unknown(99) {"Token":"[masked]"} false`, "7 unknown(98) {} false"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestEntriesAreFiltered(t *testing.T) {
	t.Parallel()
	d := openDir(t, writeDir(t, entries(t, commands(t, 30))))
	for _, c := range []struct {
		name   string
		filter Filter
		want   []uint64
	}{
		{"by index", Filter{From: 5, To: 7}, []uint64{5, 6, 7}},
		{"by the type of the log", Filter{Types: []string{"noop", "configuration"}}, []uint64{1, 2}},
		{"by the name of a message, in any case", Filter{Types: []string{"nodepoolupsert"}}, []uint64{4}},
		{"by the number of a message", Filter{Types: []string{"59", "32"}}, []uint64{3, 4}},
		{"by both", Filter{From: 4, Types: []string{"59", "32"}}, []uint64{4}},
		{"beyond the end", Filter{From: 500}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []uint64
			err := d.Entries(t.Context(), c.filter, func(e *Entry) error { got = append(got, e.Index); return nil }, func(p *Problem) error { return p })
			if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
				t.Errorf("%v, -want +got:\n%s", err, diff)
			}
		})
	}
}

// secretKeys are the names under which FuzzMaskedBody hides its marker.
var secretKeys = []string{"SecretID", "AuthToken", "SecretHash", "KeyEncryptionKey", "WrappedRSAKey", "Secrets", "tokens_of_others", "Env", "password"}

const marker = "MARKER-0f1e2d3c"

// plant puts the marker under a secret's name into every map in v, besides the fuzzed value itself.
func plant(v any, n *int) any {
	switch t := v.(type) {
	case map[string]any:
		for k, e := range t {
			t[k] = plant(e, n)
		}
		key := secretKeys[*n%len(secretKeys)]
		*n++
		switch *n % 4 {
		case 0:
			t[key] = marker
		case 1:
			t[key] = []any{marker, []byte(marker)}
		case 2:
			t[key] = map[string]any{"Name": marker, "deeper": []any{map[string]any{"x": marker + "y"}}}
		default:
			t[key] = []byte("\xff" + marker)
		}
		return t
	case []any:
		for i := range t {
			t[i] = plant(t[i], n)
		}
		return t
	}
	return v
}

// FuzzMaskedBody: no bytes make it panic or give something that is no JSON, and what is under a secret's name, at any
// depth, is in neither result nor error, even if the body is cut off.
func FuzzMaskedBody(f *testing.F) {
	for i, c := range commands(f, 12) {
		f.Add(c[1:], uint16(i*7))
	}
	f.Add([]byte{0x81, 0xa1, 'a', 0xd6, 0xff, 1, 2, 3, 4}, uint16(0))
	f.Add([]byte{0x81, 0x01, 0x02}, uint16(3))
	f.Add([]byte{0x92, 0xca, 0x7f, 0x80, 0, 0, 0xc4, 1, 9}, uint16(1))
	f.Add([]byte{0x81, 0xa6, 'T', 'o', 'k', 'e', 'n', 's', 0x91, 0x81, 0xa4, 'N', 'a', 'm', 'e', 0x80}, uint16(9))
	f.Fuzz(func(t *testing.T, body []byte, cut uint16) {
		if got, err := maskedJSON(body); err == nil && !json.Valid(got) {
			t.Fatalf("not JSON: %s", got)
		}
		var v any
		if structs.Decode(body, &v) != nil {
			v = string(body)
		}
		if strings.Contains(fmt.Sprint(v), "MARKER") {
			return // the fuzzer found the word
		}
		n := len(body)
		planted, err := structs.EncodeBytes(plant(map[string]any{"Job": v}, &n))
		if err != nil {
			return // a value that only the decoder takes
		}
		for _, b := range [][]byte{planted, planted[:int(cut)%len(planted)]} {
			got, err := maskedJSON(b)
			if strings.Contains(string(got), "MARKER") || strings.Contains(fmt.Sprint(err), "MARKER") {
				t.Fatalf("a secret is shown: %s, %v", got, err)
			}
		}
	})
}
