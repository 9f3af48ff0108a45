package structs

// KeyringServerStatus is what one server can do with the root keys. It names files and services, never what is in them.
type KeyringServerStatus struct {
	ID        string
	Name      string
	Address   string // of its RPC port
	Error     string // why it did not answer; then the rest is empty
	Providers []*KeyringProvider
	Keys      []*RootKeyStatus // sorted by key ID
}

// KeyringProvider is one configured keyring provider of a server.
type KeyringProvider struct {
	ID     string // as stored with what it wrapped: "<provider>" or "<provider>.<name>"
	Active bool   // it wraps new keys on that server
	Clear  bool   // it stores what opens a root key beside it
	// Check tells key-encryption keys apart without giving them away: equal where the keys are. Empty if the provider's key
	// is elsewhere or there is none.
	Check string
}

// RootKeyStatus is one root key as one server has it.
type RootKeyStatus struct {
	KeyID  string
	State  KeyState
	Loaded bool   // the server signs and verifies by it
	Error  string // why it does not
	Copies []*RootKeyCopy
}

// RootKeyCopy is one wrapped copy of a root key's material.
type RootKeyCopy struct {
	ID         string // of the copy: a digest of what is stored
	ProviderID string
	Clear      bool   // what opens it is stored beside it
	Readable   bool   // this server unwraps it, and it holds the right key
	Error      string // why not
}

// KeyringServerStatusResponse is the reply of Keyring.ServerStatus: of the asked server alone.
type KeyringServerStatusResponse struct {
	Server *KeyringServerStatus
	QueryMeta
}

// KeyringStatusResponse is the reply of Keyring.Status: of all servers, sorted by name.
type KeyringStatusResponse struct {
	Servers []*KeyringServerStatus
	QueryMeta
}

// KeyringRewrapRequest is Keyring.Rewrap, one step of moving the root keys to the leader's active provider.
type KeyringRewrapRequest struct {
	// ProviderID, if set, is the provider that the leader's active one must be: a step that follows others is refused if the
	// leader is another by now and wraps by another provider.
	ProviderID string
	WriteRequest
}

// KeyringRewrapResponse says how far it is.
type KeyringRewrapResponse struct {
	ProviderID string // the keys are moved to
	Done       bool   // every key is wrapped by it alone
	Keys       []*RewrapKey
	WriteMeta
}

// Phases of a key that is moved to another provider.
const (
	RewrapPending = "pending" // not come to yet
	RewrapWaiting = "waiting" // wrapped by the new provider; the old copies stay until every server can read the new one
	RewrapDone    = "done"    // wrapped by the new provider alone
	RewrapFailed  = "failed"  // see Error; tried again by the next step
)

// RewrapKey is how far one key is.
type RewrapKey struct {
	KeyID   string
	State   KeyState
	Phase   string
	Copies  []string // the providers of its wrapped copies
	Waiting []string // in phase waiting: which servers can't read the new copy yet, and why
	Error   string
}
