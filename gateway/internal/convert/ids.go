package convert

import (
	"fmt"

	"github.com/celeriant/celeriant-go/checkpoint"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/msg"
)

// ID reads an id; field names it in the error.
func ID(field string, b []byte) (msg.ID, error) {
	id, err := msg.IDFromBytes(b)
	if err != nil {
		return msg.ID{}, fmt.Errorf("%s has %d bytes: want 16", field, len(b))
	}
	return id, nil
}

// OptionalID reads an id that may be absent.
func OptionalID(field string, b []byte) (msg.Opt[msg.ID], error) {
	if b == nil {
		return msg.None[msg.ID](), nil
	}
	id, err := ID(field, b)
	return msg.Some(id), err
}

// IDBytes returns the id in bytes of its own.
func IDBytes(id msg.ID) []byte { return append([]byte(nil), id[:]...) }

// OptionalIDBytes returns the id, nil when it is absent.
func OptionalIDBytes(id msg.Opt[msg.ID]) []byte {
	if !id.Set {
		return nil
	}
	return IDBytes(id.Value)
}

// Key reads a key.
func Key(field string, k *pb.Key) (msg.Key, error) {
	if k == nil {
		return msg.Key{}, fmt.Errorf("%s is missing", field)
	}
	org, err := ID(field+".org", k.Org)
	if err != nil {
		return msg.Key{}, err
	}
	typ, err := ID(field+".type", k.Type)
	if err != nil {
		return msg.Key{}, err
	}
	aggregate, err := ID(field+".aggregate", k.Aggregate)
	return msg.Key{Org: org, Type: typ, Aggregate: aggregate}, err
}

// Keys reads keys, at most limit.
func Keys(field string, keys []*pb.Key, limit int) ([]msg.Key, error) {
	if len(keys) > limit {
		return nil, fmt.Errorf("%s has %d entries: want at most %d", field, len(keys), limit)
	}
	out := make([]msg.Key, len(keys))
	for i, k := range keys {
		var err error
		if out[i], err = Key(fmt.Sprintf("%s[%d]", field, i), k); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// KeyMessage returns the message of a key.
func KeyMessage(k msg.Key) *pb.Key {
	return &pb.Key{Org: IDBytes(k.Org), Type: IDBytes(k.Type), Aggregate: IDBytes(k.Aggregate)}
}

// KeyMessages returns the messages of keys.
func KeyMessages(keys []msg.Key) []*pb.Key {
	out := make([]*pb.Key, len(keys))
	for i, k := range keys {
		out[i] = KeyMessage(k)
	}
	return out
}

// Cursor reads a cursor; no bytes are the zero one.
func Cursor(field string, b []byte) (checkpoint.Cursor, error) {
	var c checkpoint.Cursor
	if len(b) == 0 {
		return c, nil
	}
	if err := c.UnmarshalBinary(b); err != nil {
		return checkpoint.Cursor{}, fmt.Errorf("%s: %w", field, err)
	}
	if c.Life >= 1<<63 || c.Version >= 1<<63 {
		return checkpoint.Cursor{}, fmt.Errorf("%s: life and version must lie below 2^63", field)
	}
	if c.IsZero() {
		return checkpoint.Cursor{}, fmt.Errorf("%s: an unset cursor has no bytes", field)
	}
	return c, nil
}

// CursorBytes returns the bytes of a cursor, none for the zero one.
func CursorBytes(c checkpoint.Cursor) []byte {
	if c.IsZero() {
		return nil
	}
	b, _ := c.MarshalBinary() // never fails
	return b
}
