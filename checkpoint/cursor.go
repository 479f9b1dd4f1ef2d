package checkpoint

import (
	"cmp"
	"fmt"

	"github.com/celeriant/celeriant-go/msg"
)

// Cursor is how far a subscription has come in one aggregate: everything up to
// and including Version of life Life was handled. The zero Cursor means that
// the aggregate was never seen.
type Cursor struct {
	// Life counts the incarnations announced to the subscriber. The first is 0;
	// every Deleted and every Reset voids what was built and so starts another.
	Life uint64
	// Version is the last batch handled. 0 in a later life means that the life
	// was announced and nothing of it delivered yet.
	Version uint64
	// Anchor fingerprints the batch at Version; zero when Version is 0. Behind a
	// truncation there is no batch at Version: it is then that of the next one.
	Anchor Anchor
	// Deleted tells that the end of this life was announced.
	Deleted bool
}

// Compare orders cursors of one aggregate by progress and returns -1, 0 or 1
// as c lies below, at or above d: by life, then by version, then a deleted one
// is further than one that is not. Anchors do not take part.
func (c Cursor) Compare(d Cursor) int {
	return cmp.Or(
		cmp.Compare(c.Life, d.Life),
		cmp.Compare(c.Version, d.Version),
		cmp.Compare(rank(c.Deleted), rank(d.Deleted)),
	)
}

func rank(deleted bool) int {
	if deleted {
		return 1
	}
	return 0
}

// IsZero reports whether c is the zero Cursor: the aggregate was never seen.
func (c Cursor) IsZero() bool { return c == Cursor{} }

// String returns life and version, as in "life 0 version 7 deleted".
func (c Cursor) String() string {
	if c.Deleted {
		return fmt.Sprintf("life %d version %d deleted", c.Life, c.Version)
	}
	return fmt.Sprintf("life %d version %d", c.Life, c.Version)
}

// Storable reports whether stores keep the cursor: life and version lie below
// 2⁶³. No server counts that far; a cursor beyond was forged or computed wrongly,
// and would keep its aggregate from ever moving again.
func (c Cursor) Storable() bool { return c.Life>>63 == 0 && c.Version>>63 == 0 }

// Entry is the cursor of one aggregate.
type Entry struct {
	Key    msg.Key
	Cursor Cursor
	// From is the cursor that Cursor follows. From counts only with Compare: the
	// entry is then saved only if From is what is stored. If a cursor at or
	// beyond Cursor is stored, it was saved already and the save is refused with
	// an [*AppliedError]; anything else is a [*RegressionError].
	From    Cursor
	Compare bool
}
