package wire

import "fmt"

// SizeError says that a message does not fit the frame it needs. Nothing was
// written. Protocol sections 3 and 3.1.
type SizeError struct {
	// Message is the message's name, such as "delete".
	Message string
	// Size is the length of the encoded body in bytes, Limit the most allowed.
	Size, Limit uint64
	// Fixed tells that the message belongs to the fixed class, whose limit no
	// option raises.
	Fixed bool
}

// Error says what is too large, by how much.
func (e *SizeError) Error() string {
	kind := "the frame limit"
	if e.Fixed {
		kind = "the limit of fixed-class messages"
	}
	return fmt.Sprintf("wire: encoding %s: body of %d bytes exceeds %s of %d", e.Message, e.Size, kind, e.Limit)
}

// EncodeError says that a message holds a value the protocol cannot carry.
type EncodeError struct {
	// Message is the message's name.
	Message string
	// Why names the value.
	Why string
}

// Error says what cannot be encoded.
func (e *EncodeError) Error() string { return fmt.Sprintf("wire: encoding %s: %s", e.Message, e.Why) }

// DecodeError says that a body is not the message its header announced.
type DecodeError struct {
	// Message is the message's name, Version the codec.
	Message string
	Version Version
	// Record is the record the decoder was in, Offset the byte of the body it
	// had reached; inside a record in map form it is the byte the map starts at.
	Record string
	Offset int
	// Why says what was found and what was wanted.
	Why string
	// TooLarge tells that the message may be fine, but decoded would take more
	// memory than its length justifies.
	TooLarge bool
}

// Error says what could not be decoded, where and why.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("wire: decoding %s, version %d: %s at byte %d: %s",
		e.Message, uint32(e.Version), e.Record, e.Offset, e.Why)
}

// FrameError says that what arrived is not a frame the receiver accepts. The
// position in the stream is lost: the connection must be closed.
type FrameError struct {
	// Header is the header as far as it was understood.
	Header Header
	// Why says which rule was broken.
	Why string
	// TooLarge tells that only the receiver's size limit was broken.
	TooLarge bool
	// Err is the cause below, if any.
	Err error
}

// Error says which rule was broken.
func (e *FrameError) Error() string {
	text := fmt.Sprintf("wire: refusing a frame of version %d, type %d: %s", uint32(e.Header.Version), e.Header.Type, e.Why)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *FrameError) Unwrap() error { return e.Err }
