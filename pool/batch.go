package pool

import (
	"bytes"

	"github.com/celeriant/celeriant-go/msg"
)

// unfiltered reports whether the filters only bound versions.
func unfiltered(f msg.ReadFilters) bool {
	if len(f.EventTypes) > 0 {
		return false
	}
	for _, id := range []msg.Opt[msg.ID]{f.ExcludeClientID, f.IncludeClientID, f.ExcludeUserID, f.IncludeUserID} {
		if id.Set {
			return false
		}
	}
	for _, bound := range []msg.Opt[uint64]{
		f.MinServerTimestamp, f.MaxServerTimestamp, f.MinClientSeq, f.MaxClientSeq,
		f.MinEventTimestamp, f.MaxEventTimestamp, f.MinEventSeq, f.MaxEventSeq,
	} {
		if bound.Set {
			return false
		}
	}
	return true
}

// sameBatch reports whether two batches are equal in version and content.
func sameBatch(a, b msg.Batch) bool {
	return len(a.Events) == len(b.Events) && partOf(a, b)
}

// partOf reports whether part is whole, with all or some of its events.
func partOf(part, whole msg.Batch) bool {
	if part.Version != whole.Version || part.ClientID != whole.ClientID || part.UserID != whole.UserID ||
		part.ServerTimestamp != whole.ServerTimestamp {
		return false
	}
	at := 0
	for i := range part.Events {
		for at < len(whole.Events) && !sameEvent(&part.Events[i], &whole.Events[at]) {
			at++
		}
		if at == len(whole.Events) {
			return false
		}
		at++
	}
	return true
}

func sameEvent(a, b *msg.Event) bool {
	return a.ClientSeq == b.ClientSeq && a.EventSeq == b.EventSeq && a.EventID == b.EventID &&
		a.Timestamp == b.Timestamp && a.Major == b.Major && a.Minor == b.Minor &&
		bytes.Equal(a.Value, b.Value) && a.IV == b.IV
}
