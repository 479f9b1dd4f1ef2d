package checkpoint

import "github.com/celeriant/celeriant-go/msg"

// Advance decides what a save changes; it is the part of Save that every store
// shares. stored holds what is stored for each entry's key, parallel to
// entries. Advance returns one entry for each key whose cursor moves; an [*AppliedError] for an
// entry with Compare whose cursor is stored already; or a [*RegressionError] if any entry lies
// below the stored cursor or below an earlier entry of the same key, or does not start from it.
// Advance is pure and does not keep its arguments, but the result may alias entries.
func Advance(entries []Entry, stored []Cursor) ([]Entry, error) {
	if len(entries) == 1 {
		if moves, err := step(entries[0], stored[0]); err != nil || !moves {
			return nil, err
		}
		return entries, nil
	}
	moved := make([]Entry, 0, len(entries))
	at := make(map[msg.Key]int, len(entries))
	for i, e := range entries {
		from := stored[i]
		place, again := at[e.Key]
		if again {
			from = moved[place].Cursor
		}
		moves, err := step(e, from)
		switch {
		case err != nil:
			return nil, err
		case !moves:
		case again:
			moved[place].Cursor = e.Cursor
		default:
			at[e.Key] = len(moved)
			moved = append(moved, e)
		}
	}
	return moved, nil
}

// step tells whether the entry moves its cursor on from stored.
func step(e Entry, stored Cursor) (moves bool, err error) {
	order := e.Cursor.Compare(stored)
	if e.Compare && e.From.Compare(stored) != 0 {
		if order <= 0 {
			return false, &AppliedError{Key: e.Key, Stored: stored, Offered: e.Cursor}
		}
		return false, &RegressionError{Key: e.Key, Stored: stored, Offered: e.Cursor, From: e.From}
	}
	if order < 0 {
		return false, &RegressionError{Key: e.Key, Stored: stored, Offered: e.Cursor, From: e.From}
	}
	return order > 0, nil
}
