package engine

import (
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// pages is the scratch of trust.
type pages struct {
	batches []msg.Batch
	anchors []checkpoint.Anchor
}

// trust returns the batches of a page that may be believed, repeats dropped,
// and their anchors; false when the page as a whole may not. from and to are
// what was asked for. The rules:
//
//   - batches at or above the next version are ignored: a page can hold newer
//     batches with a hole below them, which come again;
//   - a batch with the version and the content of the one before is dropped:
//     restarted nodes can hold a batch twice;
//   - versions must ascend and lie in the range, and the next version must lie
//     above them: otherwise the page mixes lives or is no page of this read.
//
// The slices are valid until the next call.
func (s *pages) trust(p *Page, from uint64, to msg.Opt[uint64]) ([]msg.Batch, []checkpoint.Anchor, bool) {
	s.batches, s.anchors = s.batches[:0], s.anchors[:0]
	if p.Next.Set && p.Next.Value <= from {
		return nil, nil, false
	}
	last := uint64(0)
	for i := range p.Batches {
		b := &p.Batches[i]
		if p.Next.Set && b.Version >= p.Next.Value {
			continue
		}
		if b.Version > maxVersion || b.Version < from || (to.Set && b.Version > to.Value) {
			return nil, nil, false
		}
		anchor := checkpoint.AnchorOf(b)
		if n := len(s.batches); n > 0 && b.Version <= last {
			if b.Version == last && anchor == s.anchors[n-1] {
				continue
			}
			return nil, nil, false
		}
		last = b.Version
		s.batches = append(s.batches, *b)
		s.anchors = append(s.anchors, anchor)
	}
	return s.batches, s.anchors, true
}

// lastAt returns the anchor of the page's last batch if all its batches have
// version v. Several batches of one version are the first batches of several
// lives; the last is the present one's.
func lastAt(p *Page, v uint64) (*msg.Batch, checkpoint.Anchor, bool) {
	if len(p.Batches) == 0 || p.Next.Set {
		return nil, checkpoint.Anchor{}, false
	}
	for i := range p.Batches {
		if p.Batches[i].Version != v {
			return nil, checkpoint.Anchor{}, false
		}
	}
	b := &p.Batches[len(p.Batches)-1]
	return b, checkpoint.AnchorOf(b), true
}

// size is what a batch counts against the buffer.
func size(b *msg.Batch) int64 {
	n := int64(batchOverhead)
	for i := range b.Events {
		n += int64(len(b.Events[i].Value)) + eventOverhead
	}
	return n
}

// Size is what a change counts against the buffer.
func (c *Change) Size() int64 {
	switch c.Kind {
	case Batch:
		return size(&c.Batch)
	case CaughtUp:
		return 0
	}
	return announcement
}
