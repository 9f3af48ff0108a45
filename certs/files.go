package certs

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxFile bounds a file of certificates or a key, in bytes.
const maxFile = 1 << 20

// Files are the paths of one set, all PEM. CA may hold several authorities, Cert the chain from the certificate upwards.
type Files struct{ CA, Cert, Key string }

// contents are the files' bytes.
type contents struct{ ca, cert, key []byte }

func (c contents) sum() [sha256.Size]byte {
	h := sha256.New()
	for _, part := range [][]byte{c.ca, c.cert, c.key} {
		s := sha256.Sum256(part)
		h.Write(s[:])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// fileError says which setting's file is wrong.
func (k *Keeper) fileError(setting, path string, err error) error {
	return fmt.Errorf("%s.%s %s: %w", k.cfg.Block, setting, path, err)
}

// read reads all files of the set.
func (k *Keeper) read(files Files) (c contents, err error) {
	for _, f := range []struct {
		setting, path string
		into          *[]byte
	}{{"ca_file", files.CA, &c.ca}, {"cert_file", files.Cert, &c.cert}, {"key_file", files.Key, &c.key}} {
		if f.path == "" && f.setting == "ca_file" && !k.needsCA() {
			continue
		}
		if *f.into, err = ReadFile(f.path); err != nil {
			return c, k.fileError(f.setting, f.path, err)
		}
	}
	return c, nil
}

// ReadFile reads a regular file of at most 1 MiB; anything else could keep the reader waiting. Errors don't name the path.
func ReadFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|openNonblock, 0)
	if err != nil {
		return nil, plainPathError(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, plainPathError(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, plainPathError(err)
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("is larger than %d bytes", maxFile)
	}
	return b, nil
}

// plainPathError drops the path, which the caller names.
func plainPathError(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return fmt.Errorf("%s: %w", pe.Op, pe.Err)
	}
	return err
}

// parseCertificates reads every certificate of a PEM text, in order. Text outside of blocks is skipped; a block that can't be read is
// an error, since one certificate less would be noticed only when it is needed.
func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	blocks := bytes.Count(text, []byte("-----BEGIN "))
	for n := 1; ; n++ {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		blocks--
		switch block.Type {
		case "CERTIFICATE":
		case "PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY":
			return nil, errors.New("holds a private key, which belongs into key_file alone")
		default:
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d can't be read: %w", n, err)
		}
		out = append(out, c)
	}
	if blocks != 0 {
		return nil, errors.New("holds a damaged PEM block")
	}
	if len(out) == 0 {
		return nil, errors.New("holds no PEM certificate")
	}
	return out, nil
}

// parseKey reads the private key that belongs to the chain.
func parseKey(chain []*x509.Certificate, text []byte) (tls.Certificate, error) {
	var raw [][]byte
	var certPEM []byte
	for _, c := range chain {
		raw = append(raw, c.Raw)
		certPEM = append(certPEM, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return tls.Certificate{}, errors.New("is encrypted with a passphrase, which is not supported; decrypt it and restrict who can read it")
		}
	}
	pair, err := tls.X509KeyPair(certPEM, text)
	if err != nil {
		// The library's errors tell what kind of thing was found, never its content.
		return tls.Certificate{}, fmt.Errorf("is not the key of cert_file: %w", err)
	}
	pair.Certificate, pair.Leaf = raw, chain[0]
	return pair, nil
}
