package checkpoint

import "github.com/celeriant/celeriant-go/msg"

// journalType is the name-based id of a text in the nil namespace, the same in every
// release.
var journalType = msg.IDFromName(msg.ID{}, "celeriant.io/checkpoint/journal")

// JournalType is the aggregate type of the journals that store checkpoints in the
// event store itself (package logstore). Scopes leave it out unless they name it, or
// one of its aggregates: a subscription to everything would otherwise follow its own
// saves.
func JournalType() msg.ID { return journalType }
