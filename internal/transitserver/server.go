package transitserver

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// maxBody bounds what is read of a request.
const maxBody = 1 << 20

// Server is one running service. All methods are safe for concurrent use.
type Server struct {
	*httptest.Server

	mu     sync.Mutex // guards what follows
	keys   map[string]*key
	tokens map[string]*token
	sealed bool
	gate   chan struct{} // requests wait until it is closed; nil lets them through
	calls  map[string]int
	now    func() time.Time
}

type token struct {
	expires time.Time // zero: never
	ttl     time.Duration
}

// Start starts a service with one key of one version, a mount "transit" and a root token.
func Start(keyName, rootToken string) *Server {
	s := &Server{keys: map[string]*key{}, tokens: map[string]*token{rootToken: {}}, calls: map[string]int{}, now: time.Now}
	s.AddKey(keyName)
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	return s
}

// AddKey makes a key of one version.
func (s *Server) AddKey(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[name] = &key{least: 1}
	s.keys[name].rotate()
}

// AddToken makes a token that lives for ttl and can be renewed for as long; 0 never expires and can't be renewed.
func (s *Server) AddToken(id string, ttl time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &token{ttl: ttl}
	if ttl > 0 {
		t.expires = s.now().Add(ttl)
	}
	s.tokens[id] = t
}

// Revoke ends a token.
func (s *Server) Revoke(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, id)
}

// Seal makes every request fail as a sealed service does; Unseal ends that.
func (s *Server) Seal()   { s.setSealed(true) }
func (s *Server) Unseal() { s.setSealed(false) }

func (s *Server) setSealed(sealed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sealed = sealed
}

// Hold makes requests wait until release is called; who gives up meanwhile is let go.
func (s *Server) Hold() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gate := make(chan struct{})
	s.gate = gate
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.gate == gate {
			s.gate = nil
		}
		close(gate)
	})
}

// Rotate adds a version to the key; DecryptFrom makes it decrypt nothing of before the version.
func (s *Server) Rotate(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[name].rotate()
}

func (s *Server) DecryptFrom(name string, version int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[name].least = version
}

// Calls counts the requests of an operation, as "encrypt", "decrypt" or "renew-self".
func (s *Server) Calls(op string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[op]
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	op, name := operation(r.URL.Path)
	s.mu.Lock()
	s.calls[op]++
	gate := s.gate
	s.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-r.Context().Done():
			return
		}
	}
	var body map[string]any
	if err := json.NewDecoder(io.LimitReader(r.Body, maxBody)).Decode(&body); err != nil && err != io.EOF {
		refuse(w, http.StatusBadRequest, "failed to parse JSON input: "+err.Error())
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	bearer := r.Header.Get("X-Vault-Token")
	t := s.tokens[bearer]
	switch {
	case s.sealed:
		refuse(w, http.StatusServiceUnavailable, "Vault is sealed")
	case t == nil || !t.expires.IsZero() && s.now().After(t.expires):
		refuse(w, http.StatusForbidden, "permission denied")
	case r.Method != http.MethodPut && r.Method != http.MethodPost:
		refuse(w, http.StatusMethodNotAllowed, "unsupported operation")
	case op == "renew-self":
		s.renew(w, bearer, t)
	case op == "":
		refuse(w, http.StatusNotFound, "no handler for route \""+strings.TrimPrefix(r.URL.Path, "/v1/")+"\". route entry not found.")
	case s.keys[name] == nil:
		refuse(w, http.StatusBadRequest, "encryption key not found")
	default:
		s.keys[name].serve(w, op, body)
	}
}

// operation takes a path apart: "/v1/transit/decrypt/k" is decrypt of k.
func operation(path string) (op, name string) {
	parts := strings.Split(strings.TrimPrefix(path, "/v1/"), "/")
	switch {
	case strings.TrimPrefix(path, "/v1/") == "auth/token/renew-self":
		return "renew-self", ""
	case len(parts) == 3 && parts[0] == "transit" && (parts[1] == "encrypt" || parts[1] == "decrypt" || parts[1] == "rewrap"):
		return parts[1], parts[2]
	}
	return "", ""
}

func (s *Server) renew(w http.ResponseWriter, id string, t *token) {
	if t.ttl == 0 {
		refuse(w, http.StatusBadRequest, "lease is not renewable")
		return
	}
	t.expires = s.now().Add(t.ttl)
	answer(w, map[string]any{"auth": map[string]any{"client_token": id, "renewable": true, "lease_duration": int(t.ttl.Seconds()), "policies": []string{"default"}}})
}

func refuse(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []string{text}}) // who went away needs no answer
}

func answer(w http.ResponseWriter, body map[string]any) {
	body["request_id"], body["lease_id"] = "5b9a6d2f-7a52-3c4e-8f7c-0d8e3b8d4c11", ""
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}
