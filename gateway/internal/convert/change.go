package convert

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"

	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/stream"
)

// ErrUnknownKind is a change of a kind that a newer gateway made.
var ErrUnknownKind = errors.New("a change of an unknown kind came from a newer gateway")

func unhandledSize(c *stream.Change) int {
	if c.Unhandled == (stream.Versions{}) {
		return 0
	}
	return 1 + protowire.SizeBytes(uintSize(c.Unhandled.From)+uintSize(c.Unhandled.To))
}

func appendUnhandled(b []byte, field protowire.Number, c *stream.Change) []byte {
	if c.Unhandled == (stream.Versions{}) {
		return b
	}
	b = appendLength(b, field, uintSize(c.Unhandled.From)+uintSize(c.Unhandled.To))
	b = appendUint(b, 1, c.Unhandled.From)
	return appendUint(b, 2, c.Unhandled.To)
}

func unhandled(u *pb.Unhandled) stream.Versions {
	return stream.Versions{From: u.GetFrom(), To: u.GetTo()}
}

// Change reads a change. A part of a batch must have been joined before; a change
// of kind Started has no meaning to a consumer and is refused, too.
func Change(m *pb.Change) (stream.Change, error) {
	c := stream.Change{Partition: m.GetPartition(), Replay: m.GetReplay()}
	switch kind := m.GetKind().(type) {
	case *pb.Change_Batch:
		batch, err := Batch(kind.Batch)
		if err != nil {
			return c, err
		}
		c.Kind, c.Batch = stream.Batch, batch
	case *pb.Change_Deleted:
		c.Kind, c.Unhandled = stream.Deleted, unhandled(kind.Deleted.GetUnhandled())
	case *pb.Change_Reset_:
		c.Kind, c.Unhandled = stream.Reset, unhandled(kind.Reset_.GetUnhandled())
	case *pb.Change_Truncated:
		c.Kind, c.From, c.To = stream.Truncated, kind.Truncated.GetFrom(), kind.Truncated.GetTo()
		c.Unhandled = unhandled(kind.Truncated.GetUnhandled())
	case *pb.Change_Unreadable:
		c.Kind, c.Version = stream.Unreadable, kind.Unreadable.GetVersion()
	case *pb.Change_CaughtUp:
		c.Kind = stream.CaughtUp
		return c, nil
	default:
		return c, ErrUnknownKind
	}
	var err error
	if c.Key, err = Key("change.key", m.GetKey()); err != nil {
		return c, err
	}
	if c.Cursor, err = Cursor("change.cursor", m.GetCursor()); err != nil {
		return c, err
	}
	c.Previous, err = Cursor("change.previous", m.GetPrevious())
	return c, err
}
