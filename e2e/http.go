package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// maxAnswer bounds what GetJSON reads, in bytes.
const maxAnswer = 16 << 20

// GetJSON reads a document by plain HTTP, as a program does that knows nothing of Rollcall.
func GetJSON(ctx context.Context, url string, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	return doJSON(req, out)
}

// GetJSON reads a document from the server in the same way, with the management token.
func (s *Server) GetJSON(ctx context.Context, path string, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.HTTP+path, nil)
	if err != nil {
		return err
	}
	s.cluster.authorize(req)
	return doJSON(req, out)
}

func doJSON(req *http.Request, out any) error { return doJSONBy(http.DefaultClient, req, out) }

func doJSONBy(client *http.Client, req *http.Request, out any) error {
	url := req.URL
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read %s: %w", url, err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", url, res.Status, body)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("read %s: %w", url, err)
	}
	return nil
}

// PublishedKeys returns the IDs of the keys in a server's JWKS with their algorithms.
func (s *Server) PublishedKeys(ctx context.Context) (map[string]string, error) {
	var set struct{ Keys []struct{ Kid, Alg string } }
	if err := GetJSON(ctx, s.HTTP+"/.well-known/jwks.json", &set); err != nil {
		return nil, err
	}
	keys := make(map[string]string, len(set.Keys))
	for _, k := range set.Keys {
		keys[k.Kid] = k.Alg
	}
	return keys, nil
}
