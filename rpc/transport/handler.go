package transport

import (
	"context"
	"net"
)

// First bytes of connections (wire.md §1.1). ByteRPC and ByteStreaming also start the streams of a ByteMultiplexV2 session.
const (
	ByteRPC         = 0x01 // one conversation on the connection itself
	ByteRaft        = 0x02 // Raft's own transport
	ByteMultiplex   = 0x03 // yamux, each stream a conversation
	ByteTLS         = 0x04 // TLS, then a first byte again
	ByteStreaming   = 0x05 // a streaming call
	ByteMultiplexV2 = 0x06 // yamux, each stream starts with a byte of its own
)

// Handler answers what arrives. Its methods are called concurrently, also for requests of the same stream.
type Handler interface {
	// ServeRPC answers one request. body is the argument as one well-formed msgpack value; it is valid only until
	// ServeRPC returns and must not be modified. ctx ends when the caller goes away or the server closes.
	// reply is encoded with structs.MsgpackHandle after ServeRPC returns (a codec.Raw is sent as it is) and must not be
	// modified any more; a nil reply is sent as an empty map. err is sent as its text.
	ServeRPC(ctx context.Context, c *Conn, method string, body []byte) (reply any, err error)

	// ServeStream answers a streaming call whose header has been read. The acknowledgement that the call is
	// accepted goes out with ServeStream's first Read or Write on stream, or with AcceptStream; an error returned before that
	// is sent as the acknowledgement instead and refuses the call. The stream is closed when ServeStream returns.
	ServeStream(ctx context.Context, c *Conn, stream net.Conn, method string) error
}
