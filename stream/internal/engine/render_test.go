package engine_test

import (
	"fmt"
	"strings"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

func kindName(k engine.ChangeKind) string {
	return [...]string{"none", "batch", "deleted", "reset", "truncated", "unreadable", "caught up"}[k]
}

func phaseName(p engine.Phase) string {
	return [...]string{"connecting", "catching up", "live", "reconnecting"}[p]
}

// render is the text of a command, as specifications spell it.
func render(c *engine.Command) string {
	switch c.Kind {
	case engine.Discover:
		return "discover"
	case engine.Open:
		text := fmt.Sprintf("open %d/%d epoch %d", c.Link.Shard, c.Link.Part, c.Epoch)
		if c.Follower {
			text += " at a follower"
		}
		return text
	case engine.Close:
		return fmt.Sprintf("close %d/%d epoch %d", c.Link.Shard, c.Link.Part, c.Epoch)
	case engine.List:
		if c.Cursor.Set {
			return fmt.Sprintf("list %d from %d", c.Shard, c.Cursor.Value) + elsewhere(c.Node, leaderNode)
		}
		return fmt.Sprintf("list %d", c.Shard) + elsewhere(c.Node, "")
	case engine.Load:
		names := make([]string, len(c.Keys))
		for i, key := range c.Keys {
			names[i] = name(key)
		}
		return "load " + strings.Join(names, " ")
	case engine.Read:
		to := ""
		if c.To.Set {
			to = fmt.Sprint(c.To.Value)
		}
		text := fmt.Sprintf("read %s %d-%s", name(c.Key), c.From, to)
		if c.Leader {
			return text + " at the leader"
		}
		return text + elsewhere(c.Node, watchedNode)
	case engine.CheckLeader:
		if c.Leader {
			return "does " + c.Node + " lead at this moment"
		}
		return "does " + c.Node + " lead"
	case engine.Deliver:
		texts := make([]string, len(c.Changes))
		for i := range c.Changes {
			texts[i] = describeChange(&c.Changes[i])
		}
		return strings.Join(texts, ", ")
	case engine.SetState:
		text := phaseName(c.Phase)
		if c.Err != nil {
			text += ": " + c.Err.Error()
		}
		return text
	case engine.Adopt:
		text := "adopt"
		for i := range c.Entries {
			text += fmt.Sprintf(" %s %d.%d", name(c.Entries[i].Key), c.Entries[i].Cursor.Life, c.Entries[i].Cursor.Version)
		}
		return text
	case engine.Begin:
		return "begin"
	case engine.Stop:
		return "stop: " + c.Err.Error()
	}
	return fmt.Sprintf("command %d", c.Kind)
}

// elsewhere names a node other than the usual one.
func elsewhere(node, usual string) string {
	if node == usual || node == "" {
		return ""
	}
	return " at " + node
}

// name is a letter for the first aggregates.
func name(key msg.Key) string { return string(rune('a' + numberOf(key))) }

// describeChange names life and version of batches, as in "a 0.3".
func describeChange(c *engine.Change) string {
	switch c.Kind {
	case engine.Batch:
		return fmt.Sprintf("%s %d.%d", name(c.Key), c.Cursor.Life, c.Batch.Version)
	case engine.Truncated:
		return fmt.Sprintf("%s truncated %d-%d", name(c.Key), c.From, c.To)
	case engine.Unreadable:
		return fmt.Sprintf("%s unreadable %d", name(c.Key), c.Version)
	case engine.CaughtUp:
		return "caught up"
	}
	return name(c.Key) + " " + kindName(c.Kind)
}

func describeRecord(r record) string {
	if r.entry != nil {
		return fmt.Sprintf("version %d life %d bytes %d", r.entry.version(), r.entry.life, r.entry.stored)
	}
	return fmt.Sprintf("keep from %d", r.keepFrom)
}

func describePage(p *engine.Page) string {
	texts := make([]string, len(p.Batches))
	for i := range p.Batches {
		texts[i] = fmt.Sprint(p.Batches[i].Version)
	}
	return fmt.Sprintf("%s next %v authoritative %v", strings.Join(texts, " "), p.Next, p.Authoritative)
}

func describeFrame(frame []heard) string {
	texts := make([]string, len(frame))
	for i, h := range frame {
		texts[i] = fmt.Sprintf("%s %v %v-%v keep %v (%d)", name(h.Key), h.Operation, h.From, h.To, h.KeepFrom, h.seq)
	}
	return strings.Join(texts, "; ")
}
