package await

import (
	"context"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// verification tells whether a stored cursor belongs to the present life of its
// aggregate. An answer that was refused is not asked for again while the cursor stays.
type verification struct {
	leader    Leader
	key       msg.Key
	refused   checkpoint.Cursor
	otherLife bool
}

// holds asks the leader for the batch at the cursor.
func (v *verification) holds(ctx context.Context, cursor checkpoint.Cursor) (bool, error) {
	if v.otherLife && v.refused == cursor {
		return false, nil
	}
	request := &msg.ReadRequest{Key: v.key, Filters: msg.ReadFilters{From: cursor.Version, To: msg.Some(cursor.Version)}}
	page, err := v.leader.Read(ctx, request)
	if err != nil {
		return false, err
	}
	for i := range page.Batches {
		b := &page.Batches[i]
		if b.Version == cursor.Version && checkpoint.AnchorOf(b) == cursor.Anchor {
			v.otherLife = false
			return true, nil
		}
	}
	v.refused, v.otherLife = cursor, true
	return false, nil
}
