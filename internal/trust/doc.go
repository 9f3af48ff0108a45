// Package trust ends TLS connections whose peers are not trusted any more. A handshake verifies its peer once; the authorities that it
// was verified by may be replaced while the connection goes on.
//
// A set of connections is asked to look again (Recheck) after each change. What a peer has shown is then verified by the
// configuration of that moment, as a handshake would, and the connection is closed if it does not pass. None slips through: one
// whose handshake is under way during the change is verified again when it is done.
package trust
