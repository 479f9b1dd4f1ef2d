package rebuild

import "github.com/celeriant/celeriant-go/checkpoint"

// Log tells whether the batch at a predecessor's cursor is in the log that can be read
// at present.
type Log uint8

const (
	// Unknown: nobody has compared the logs.
	Unknown Log = iota
	// Same: the log holds that batch.
	Same
	// Other: the log holds another batch there, or none.
	Other
)

// Kind is what a step of an aggregate is to the gate.
type Kind uint8

const (
	// Batch is a batch that was read.
	Batch Kind = iota
	// Life is the end of a life: Deleted or Reset.
	Life
	// Trimmed is a range that was trimmed before it could be read.
	Trimmed
	// Unreadable is a batch that cannot be read.
	Unreadable
)

// Step is a change of one aggregate that waits before the gate.
type Step struct {
	Kind Kind
	// Version is the batch's, or the last one that was trimmed.
	Version uint64
	// Anchor is the batch's.
	Anchor checkpoint.Anchor
	// Previous is the cursor that the change follows.
	Previous checkpoint.Cursor
}

// Verdict is what the gate says of a step.
type Verdict uint8

const (
	// Wait: the predecessor has not handled the change, as far as can be told.
	Wait Verdict = iota
	// Pass: it has.
	Pass
	// Ask: that depends on the log.
	Ask
)

// Judge tells whether a predecessor that stands at the cursor has handled a step: only
// then may the rebuild. A batch at or below the cursor counts if the cursor's batch is
// in the log that the step was read from; the end of a life counts if the cursor shows
// that the predecessor has left it. Where nothing proves it, Judge says Wait: the
// predecessor goes on, or its aggregate is found to be gone, see [Reached].
func Judge(s Step, cursor checkpoint.Cursor, log Log) Verdict {
	switch s.Kind {
	case Life:
		return judgeLife(s, cursor, log)
	case Unreadable:
		// An unreadable batch moves no cursor.
		return passIf(!cursor.Deleted && cursor.Version >= s.Version)
	}
	if cursor.Deleted || cursor.Version < s.Version {
		return Wait
	}
	if s.Version == cursor.Version {
		// Of a batch that was trimmed since nothing is left to compare.
		return passIf(s.Kind == Trimmed || cursor.Anchor == s.Anchor)
	}
	return byLog(log)
}

func judgeLife(s Step, cursor checkpoint.Cursor, log Log) Verdict {
	switch {
	case cursor.IsZero():
		return Wait
	case cursor.Deleted, cursor.Version == 0:
		// The predecessor has announced the end of a life. The life was that of the
		// step, or a later one: the gate let nothing of a life pass that it had not
		// reached.
		return Pass
	case cursor.Anchor == checkpoint.Anchor{}, s.Previous.Anchor == checkpoint.Anchor{}:
		return byLog(log)
	case cursor.Version == s.Previous.Version:
		// With the same batch it stands in the life that ends.
		return passIf(cursor.Anchor != s.Previous.Anchor)
	}
	return byLog(log)
}

func byLog(log Log) Verdict {
	switch log {
	case Same:
		return Pass
	case Other:
		return Wait
	}
	return Ask
}

func passIf(condition bool) Verdict {
	if condition {
		return Pass
	}
	return Wait
}

// Reached reports whether a rebuild that stands at mine has handled what its
// predecessor had, which stands at theirs. Where it has not, and the batch at theirs is
// not in the log any more, there is nothing left to handle before the cut-over.
func Reached(mine, theirs checkpoint.Cursor) bool {
	switch {
	case theirs.Deleted, theirs.Version == 0:
		return mine.Deleted || mine.Version == 0
	case mine.Deleted || mine.Version != theirs.Version:
		return false
	}
	// Behind a range that was trimmed there is no anchor.
	none := checkpoint.Anchor{}
	return mine.Anchor == theirs.Anchor || mine.Anchor == none || theirs.Anchor == none
}
