// Package keyring holds the root keys in clear, in memory: it wraps and unwraps their material, signs and
// verifies identity tokens, publishes the verification keys and plans rotation.
//
// The replicated root keys (structs.RootKey) are its input: a watcher outside the apply path hands every new
// set of them to Keyring.Set, which unwraps each key on its own. A key that can't be unwrapped is kept with
// the reason and tried again; it delays no other key. The rpc endpoints sign and verify, the leader's
// periodic job asks Plan what to do next and proposes it.
//
// It promises:
//   - a token is signed by the active key alone, and never without exp;
//   - node, introduction and workload identities take the same way in and out (Sign, Verify);
//   - a key has exactly one algorithm, which follows from its material; nothing a token says changes it;
//   - a token is called expired only when everything else about it is right;
//   - a remembered verification never outlives the token's times or its key's place in the set;
//   - clear material is overwritten when its key is dropped, as far as the runtime gives access to it, and
//     neither it nor a key-encryption key is printed by anything in here.
//
// It refuses: tokens with any header parameter besides alg, kid and typ, HMAC and unsigned tokens, tokens
// longer than MaxTokenSize, and signing what it would not accept itself.
//
// It knows nothing of RPC, Raft or HTTP. All exported methods are safe for concurrent use.
package keyring
