package structs

//lint:file-ignore ST1005 the texts are the wire's

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Errors that cross the wire. Their texts are facts of the protocol (wire.md §1.5): peers match on them by
// substring, since every hop puts a prefix before them.
var (
	// ErrPermissionDenied: the caller is not who it must be for this request. Retrying is of no use.
	ErrPermissionDenied = errors.New("Permission denied")
	// ErrTokenNotFound: the presented token is not known.
	ErrTokenNotFound = errors.New("ACL token not found")
	// ErrTokenExpired: the presented identity was valid and is no more; a node may register again.
	ErrTokenExpired = errors.New("ACL token expired")
	// ErrTokenInvalid: the presented token can't be one of ours.
	ErrTokenInvalid = errors.New("ACL token is invalid")
	// ErrACLDisabled: the cluster runs without ACLs. It crosses the wire with code 400.
	ErrACLDisabled = errors.New("ACL support disabled")
	// ErrACLPolicyNotFound: no policy has the name.
	ErrACLPolicyNotFound = errors.New("ACL policy not found")
	// ErrACLRoleNotFound: no role has the ID or name.
	ErrACLRoleNotFound = errors.New("ACL role not found")
	// ErrNoLeader: no server leads now; nothing was changed; retry after a pause.
	ErrNoLeader = errors.New("No cluster leader")
	// ErrNotReady: this server leads but has not applied everything before its term; retry after a pause.
	ErrNotReady = errors.New("Not ready to serve consistent reads")
	// ErrNoRegionPath: no server of the named region is known.
	ErrNoRegionPath = errors.New("No path to region")
	// ErrMissingRegion: the request names no region.
	ErrMissingRegion = errors.New("missing region for target RPC")
	// ErrNoNodeConn: no server holds a connection of the node.
	ErrNoNodeConn = errors.New("No path to node")
	// ErrNodeNotFound: the node is not registered; an agent that sees it registers again.
	ErrNodeNotFound = errors.New("node not found")
	// ErrUnknownNode is followed by the node's ID.
	ErrUnknownNode = errors.New("Unknown node")
	// ErrSecretMismatch: a node of that ID is registered under another secret.
	ErrSecretMismatch = errors.New("node secret ID does not match. Not registering node.")
	// ErrNodePoolNotFound: the pool does not exist.
	ErrNodePoolNotFound = errors.New("node pool not found")
	// ErrRootKeyNotFound: no root key has the ID.
	ErrRootKeyNotFound = errors.New("root key not found")
	// ErrRootKeyActive: the active key can't be deleted.
	ErrRootKeyActive = errors.New("active root key cannot be deleted - call rotate first")
	// ErrRootKeyInUse: a live identity was signed with the key, or it encrypts something.
	ErrRootKeyInUse = errors.New("root key in use, cannot delete")
	// ErrNoIdentity: the node has no identity yet.
	ErrNoIdentity = errors.New("node does not have a JWT identity token")
	// ErrConflict: the value changed since the caller read it.
	ErrConflict = errors.New("conflicting change")
	// ErrOverloaded: refused to keep serving the others; retry after a pause.
	ErrOverloaded = errors.New("rate limit exceeded, try again later")
	// ErrShutdown: the server is stopping.
	ErrShutdown = errors.New("rpc error: shutdown")
)

// wireErrors are tried in order, the more specific text first.
var wireErrors = []error{
	ErrSecretMismatch, ErrTokenNotFound, ErrTokenExpired, ErrTokenInvalid, ErrACLDisabled, ErrACLPolicyNotFound, ErrACLRoleNotFound, ErrNoLeader, ErrNotReady,
	ErrNoRegionPath, ErrMissingRegion, ErrNoNodeConn, ErrNodeNotFound, ErrUnknownNode, ErrNodePoolNotFound,
	ErrRootKeyNotFound, ErrRootKeyActive, ErrRootKeyInUse, ErrNoIdentity, ErrConflict, ErrOverloaded,
	ErrPermissionDenied,
}

// codedPrefix starts an error that carries an HTTP status: "RPC Error:: <code>,<message>".
const codedPrefix = "RPC Error:: "

// CodedError is an error with an HTTP status, kept across hops.
type CodedError struct {
	Code    int
	Message string
	cause   error
}

// Coded returns an error that crosses the wire with its HTTP status. A %w in the format is kept for errors.Is.
func Coded(code int, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &CodedError{Code: code, Message: err.Error(), cause: err}
}

// Error returns the wire form.
func (e *CodedError) Error() string { return codedPrefix + strconv.Itoa(e.Code) + "," + e.Message }

// Unwrap returns the error the code was put on.
func (e *CodedError) Unwrap() error { return e.cause }

// RemoteError is a server's error string after it crossed the wire. errors.Is finds the sentinel it contains.
type RemoteError struct {
	Text  string
	cause error
}

func (e *RemoteError) Error() string { return e.Text }
func (e *RemoteError) Unwrap() error { return e.cause }

// ErrorFromWire turns a reply's error text back into an error on which errors.Is and errors.As work: a
// CodedError when the text carries a code, else the sentinel whose text it contains.
func ErrorFromWire(text string) error {
	if i := strings.Index(text, codedPrefix); i >= 0 {
		code, msg, ok := strings.Cut(text[i+len(codedPrefix):], ",")
		if n, err := strconv.Atoi(code); ok && err == nil && n >= 100 && n <= 599 {
			return &CodedError{Code: n, Message: msg, cause: sentinelIn(msg)}
		}
	}
	return &RemoteError{Text: text, cause: sentinelIn(text)}
}

func sentinelIn(text string) error {
	for _, s := range wireErrors {
		if strings.Contains(text, s.Error()) {
			return s
		}
	}
	return nil
}

// HTTPStatus returns the status and the message that the public API answers an error with (wire.md §5.1).
func HTTPStatus(err error) (code int, message string) {
	var coded *CodedError
	if errors.As(err, &coded) {
		return coded.Code, coded.Message
	}
	text := err.Error()
	switch {
	case strings.HasSuffix(text, ErrPermissionDenied.Error()):
		return http.StatusForbidden, ErrPermissionDenied.Error()
	case strings.HasSuffix(text, ErrTokenNotFound.Error()):
		return http.StatusForbidden, ErrTokenNotFound.Error()
	case strings.Contains(text, ErrNoNodeConn.Error()):
		return http.StatusNotFound, text
	case strings.HasSuffix(text, ErrNodeNotFound.Error()):
		return http.StatusNotFound, ErrNodeNotFound.Error()
	case errors.Is(err, ErrOverloaded):
		return http.StatusTooManyRequests, text
	}
	return http.StatusInternalServerError, text
}
