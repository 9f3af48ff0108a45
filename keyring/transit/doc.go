// Package transit wraps root keys by the transit engine of Vault or OpenBao, through go-kms-wrapping.
//
// The library's wrapper wants the service to be there when it is made, keeps the token that it was made with, and ignores
// the contexts of its callers while it is made. The Wrapper of this package is made without a call, reaches the service when
// it is first needed and again after a failure, reads its token anew when the service refuses it, and returns when its
// caller's context ends.
//
// It promises:
//   - a service that is away or slow delays only who waits for it, and no longer than their context allows;
//   - many callers that find no connection share one attempt;
//   - errors are one line that names address and key, and hold neither the token nor what was sent.
//
// It refuses to take settings from the environment: its caller has merged them (config.Keyring.ProviderOptions).
//
// All methods of Wrapper are safe for concurrent use.
package transit
