package engine

import "github.com/celeriant/celeriant-go/checkpoint"

// known is what is certain of an aggregate.
type known struct {
	loaded    bool              // the cursor was looked up
	cursor    checkpoint.Cursor // delivered
	committed checkpoint.Cursor // stored
	// floor is the trim floor. Above the cursor it takes the anchor's place in
	// confirming that the life is still the same.
	floor uint64
	// below: the cursor stands below a floor, and its anchor is that of the batch there,
	// by which it is told from another life's when it is resumed.
	below bool
	// onTrust: a truncation was announced on the watch's word that no life ended; a
	// create or delete heard of before the batches behind it are delivered revokes it.
	onTrust bool
	// verified is the epoch of the shard in which the cursor was last known to be in
	// step with the node, 0 for none. suspect: a create or delete was heard of since.
	verified uint64
	suspect  bool
	// unreadable is the version announced as such; 0 for none.
	unreadable uint64
	// notBefore is the server time of the start, where the aggregate was deleted by
	// then; 0 for none.
	notBefore uint64
	// redoLife is the life that the last Redo began.
	redoLife uint64
}

// anchored reports whether the cursor stands at a batch that can be compared.
func (k *known) anchored() bool {
	return k.cursor.Version > 0 && k.cursor.Anchor != checkpoint.Anchor{} && !k.below
}

// void reports whether what was delivered is void, by a Deleted or a Reset, and
// nothing of another life was delivered since.
func (k *known) void() bool {
	return k.cursor.Deleted || k.cursor.Life > 0 && k.cursor.Version == 0
}

// alive reports whether the end of what was delivered is still to be announced.
func (k *known) alive() bool { return !k.cursor.IsZero() && !k.cursor.Deleted }

// floored reports whether the floor has passed the cursor.
func (k *known) floored() bool { return k.floor > k.cursor.Version }

// trusted reports whether the floor proves the life: nothing was heard of another.
func (k *known) trusted() bool { return !k.onTrust || !k.suspect }

// nextLife is the life of what is delivered next.
func (k *known) nextLife() uint64 {
	if k.cursor.Deleted && !k.marked() {
		return k.cursor.Life + 1
	}
	return k.cursor.Life
}

// setLoaded notes the stored cursor.
func (l *lane) setLoaded(c checkpoint.Cursor) {
	k := &l.known
	k.loaded, k.cursor, k.committed, k.below = true, c, c, false
	switch {
	case k.marked():
		k.notBefore = c.Anchor.ServerTimestamp
	case !c.IsZero():
		k.notBefore = 0
	}
}

// latest is the further one of a cursor that was looked up and of one that was
// committed meanwhile.
func latest(loaded, committed checkpoint.Cursor) checkpoint.Cursor {
	if committed.Compare(loaded) > 0 {
		return committed
	}
	return loaded
}
