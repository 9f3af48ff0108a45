package keyring

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"sync/atomic"

	"github.com/golang-jwt/jwt/v5"

	"github.com/rollcall-id/rollcall/structs"
)

const (
	// dekSize is the length of a data encryption key, which is also the length of an Ed25519 seed.
	dekSize = 32
	// rsaBits is the modulus of new RS256 keys, and the least that imported ones may have.
	rsaBits = 2048
)

// material is what is wrapped: always a data encryption key, and beside it at most one signing key, as DER.
type material struct {
	dek []byte
	rsa []byte // PKCS#1
	ec  []byte // PKCS#8, P-256
}

func (m *material) wipe() {
	clear(m.dek)
	clear(m.rsa)
	clear(m.ec)
}

func (m *material) String() string   { return "key material (hidden)" }
func (m *material) GoString() string { return m.String() }

// generate returns new material for a key of the algorithm.
func generate(alg string) (*material, error) {
	m := &material{dek: make([]byte, dekSize)}
	if _, err := rand.Read(m.dek); err != nil {
		return nil, fmt.Errorf("generate data encryption key: %w", err)
	}
	switch alg {
	case structs.AlgEdDSA: // the data encryption key is the seed
	case structs.AlgES256:
		priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("generate P-256 key: %w", err)
		}
		if m.ec, err = x509.MarshalPKCS8PrivateKey(priv); err != nil {
			return nil, fmt.Errorf("encode P-256 key: %w", err)
		}
	case structs.AlgRS256:
		priv, err := rsa.GenerateKey(rand.Reader, rsaBits)
		if err != nil {
			return nil, fmt.Errorf("generate RSA key: %w", err)
		}
		m.rsa = x509.MarshalPKCS1PrivateKey(priv)
	default:
		return nil, fmt.Errorf("generate root key: signing algorithm %q is not supported", alg)
	}
	return m, nil
}

// algorithm derives the one signing algorithm from the material.
func (m *material) algorithm() string {
	switch {
	case len(m.ec) > 0:
		return structs.AlgES256
	case len(m.rsa) > 0:
		return structs.AlgRS256
	}
	return structs.AlgEdDSA
}

// key is a loaded root key. All but gone and priv stay as they were made.
type key struct {
	id     string
	alg    string
	method jwt.SigningMethod
	header string // the encoded JOSE header of everything the key signs, and a dot
	pub    any    // *ecdsa.PublicKey, *rsa.PublicKey or ed25519.PublicKey
	pubDER []byte // as Keyring.ListPublic gives it
	jwk    JWK

	gone atomic.Bool // set once, when the key leaves the set: nothing verifies by it any more

	mu   sync.RWMutex // guards priv: signing holds it shared
	priv any          // *ecdsa.PrivateKey, *rsa.PrivateKey or ed25519.PrivateKey; nil after wipe
}

var errKeyDropped = errors.New("key was dropped")

// signingMethod returns the method of an algorithm, nil for one that root keys can't have.
func signingMethod(alg string) jwt.SigningMethod {
	switch alg {
	case structs.AlgES256:
		return jwt.SigningMethodES256
	case structs.AlgEdDSA:
		return jwt.SigningMethodEdDSA
	case structs.AlgRS256:
		return jwt.SigningMethodRS256
	}
	return nil
}

// newKey makes the key with that ID out of its material, of which it keeps no part.
func newKey(id string, m *material) (*key, error) {
	if len(m.dek) != dekSize {
		return nil, fmt.Errorf("data encryption key has %d bytes; want %d", len(m.dek), dekSize)
	}
	if len(m.ec) > 0 && len(m.rsa) > 0 {
		return nil, errors.New("root key has both a P-256 and an RSA key")
	}
	k := &key{id: id, alg: m.algorithm()}
	k.method = signingMethod(k.alg)
	k.header = encodeHeader(k.alg, id)
	var err error
	switch k.alg {
	case structs.AlgES256:
		err = k.useEC(m.ec)
	case structs.AlgRS256:
		err = k.useRSA(m.rsa)
	default:
		priv := ed25519.NewKeyFromSeed(m.dek)
		pub := priv.Public().(ed25519.PublicKey)
		k.priv, k.pub, k.pubDER = priv, pub, pub
		k.jwk = JWK{Use: "sig", KeyType: "OKP", KeyID: id, Curve: "Ed25519", Algorithm: k.alg, X: b64(pub)}
	}
	if err != nil {
		return nil, err
	}
	return k, nil
}

func (k *key) useEC(der []byte) error {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return errors.New("P-256 key is not PKCS#8 DER") // the parser's own words may quote the key
	}
	priv, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || priv.Curve != elliptic.P256() {
		return errors.New("signing key is not on curve P-256")
	}
	point, err := priv.PublicKey.Bytes() // 0x04 || X || Y
	if err != nil {
		return fmt.Errorf("encode P-256 public key: %w", err)
	}
	if k.pubDER, err = x509.MarshalPKIXPublicKey(&priv.PublicKey); err != nil {
		return fmt.Errorf("encode P-256 public key: %w", err)
	}
	half := (len(point) - 1) / 2
	k.priv, k.pub = priv, &priv.PublicKey
	k.jwk = JWK{Use: "sig", KeyType: "EC", KeyID: k.id, Curve: "P-256", Algorithm: k.alg,
		X: b64(point[1 : 1+half]), Y: b64(point[1+half:])}
	return nil
}

func (k *key) useRSA(der []byte) error {
	priv, err := x509.ParsePKCS1PrivateKey(der)
	if err != nil {
		return errors.New("RSA key is not PKCS#1 DER or is inconsistent")
	}
	if bits := priv.N.BitLen(); bits < rsaBits {
		return fmt.Errorf("RSA key has %d bits; want at least %d", bits, rsaBits)
	}
	// A copy of the public half, so that dropping the private key leaves verifications in flight alone.
	pub := &rsa.PublicKey{N: new(big.Int).Set(priv.N), E: priv.E}
	k.priv, k.pub, k.pubDER = priv, pub, x509.MarshalPKCS1PublicKey(pub)
	k.jwk = JWK{Use: "sig", KeyType: "RSA", KeyID: k.id, Algorithm: k.alg,
		N: b64(pub.N.Bytes()), E: b64(big.NewInt(int64(pub.E)).Bytes())}
	return nil
}

// sign returns the signature of the signing string.
func (k *key) sign(signingString string) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.priv == nil {
		return nil, errKeyDropped
	}
	return k.method.Sign(signingString, k.priv)
}

// wipe waits for signatures in progress and overwrites the private key. The runtime's own copies of RSA and
// P-256 scalars, inside crypto/internal, are out of reach; they are garbage from here on.
func (k *key) wipe() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.gone.Store(true)
	switch priv := k.priv.(type) {
	case ed25519.PrivateKey:
		clear(priv)
	case *ecdsa.PrivateKey:
		//lint:ignore SA1019 overwriting the scalar is the purpose; nothing uses the key afterwards
		clear(priv.D.Bits())
	case *rsa.PrivateKey:
		clear(priv.D.Bits())
		for _, n := range append([]*big.Int{priv.Precomputed.Dp, priv.Precomputed.Dq, priv.Precomputed.Qinv}, priv.Primes...) {
			if n != nil {
				clear(n.Bits())
			}
		}
	}
	k.priv = nil
}

func (k *key) String() string   { return k.alg + " key " + k.id }
func (k *key) GoString() string { return k.String() }

// publicKey returns the verification half as Keyring.ListPublic gives it.
func (k *key) publicKey(createTime int64) *structs.PublicKey {
	return &structs.PublicKey{KeyID: k.id, PublicKey: k.pubDER, Algorithm: k.alg, Use: "sig", CreateTime: createTime}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
