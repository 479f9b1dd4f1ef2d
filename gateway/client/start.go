package client

import (
	"context"
	"fmt"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// startKey is the key, no aggregate's, that a gateway marks a start from now with,
// and startMark the cursor there. Without a gateway the same is noted in records,
// member by member of the scope.
var (
	startKey = func() msg.Key {
		ones := msg.IDFromUint64s(^uint64(0), ^uint64(0))
		return msg.Key{Org: ones, Type: ones, Aggregate: ones}
	}()
	startMark = checkpoint.Cursor{Version: 1}
)

const startedPrefix = "started/"

// markStart answers a look-up of the start with what a run without a gateway has
// noted: a start that was made is not made again, which would pass over what was
// written meanwhile.
func (s *Subscription) markStart(ctx context.Context, keys []msg.Key, cursors []checkpoint.Cursor) error {
	records, ok := s.store.(checkpoint.RecordStore)
	if s.opts.Start != stream.FromNow || !ok {
		return nil
	}
	for i, key := range keys {
		if key != startKey || !cursors[i].IsZero() {
			continue
		}
		noted, _, err := records.Records(ctx, s.opts.Name, startedPrefix)
		if err != nil {
			return err
		}
		have := make(map[string]bool, len(noted))
		for _, r := range noted {
			have[r.Key] = true
		}
		made, members := 0, memberTexts(s.scope)
		for _, text := range members {
			if have[startedPrefix+text] {
				made++
			}
		}
		switch made {
		case 0:
		case len(members):
			cursors[i] = startMark
		default:
			err := fmt.Errorf("gateway: the start from now of %q was made for %d of its %d members: open it once without a gateway", s.opts.Name, made, len(members))
			s.Fail(err)
			return err
		}
	}
	return nil
}

// memberTexts names the members of a scope as their records do.
func memberTexts(scope stream.Scope) []string {
	if scope.IsEverything() {
		return []string{"everything"}
	}
	var texts []string
	for _, org := range scope.OrgMembers() {
		texts = append(texts, "org/"+org.String())
	}
	for _, t := range scope.TypeMembers() {
		texts = append(texts, "type/"+t.Org.String()+"/"+t.Type.String())
	}
	for _, key := range scope.AggregateMembers() {
		texts = append(texts, "aggregate/"+key.String())
	}
	return texts
}
