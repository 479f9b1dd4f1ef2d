// Package wire turns the messages of package msg into frames and back: the
// 17-byte header, the two body codecs (version 2 bincode, version 3
// MessagePack) and the dictionary compression of the Celeriant protocol.
//
// # Layers
//
// [ReadRequestFrame] and [ReadResponseFrame] read one frame from a connection
// and check it before they allocate for it. [DecodeRequest], [DecodeResponse]
// and [DecodeRead] turn an uncompressed body into a message. [AppendRequest]
// and [AppendResponse] make a whole frame of a message. [Coder] holds a
// cluster's dictionary.
//
// # How it is written
//
// Each message is described once, by a method of the unexported type codec
// that names its fields in order. The same description encodes and decodes in
// both versions: the codec's mode decides what its primitives do with a field.
// codec_v2.go and codec_v3.go hold the primitives of a version; the other
// files hold one family of messages each. Events and heads of batches have a second
// reader, in fast_v2.go and fast_v3.go, which loads their fields directly and leaves
// everything unusual to the description.
//
// # Ownership
//
// Byte slices in decoded messages (payloads of events, dictionary bytes) alias
// the body they were decoded from. Such bytes are valid as long as nobody
// overwrites that body; [msg.Batch.Clone] detaches a batch. Everything else is
// copied. Encoding only reads a message, so one message may be encoded by
// several goroutines at a time.
//
// # Trust
//
// Nothing a peer sends is trusted: every length and count is bounded by the
// bytes that remain before memory is set aside for it, and decoding never panics.
// The records of a message may take 32 MiB, or four times the length of its body;
// beyond that it is refused with a *[DecodeError] that says TooLarge, however valid.
package wire
