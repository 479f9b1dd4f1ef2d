package shard

import "github.com/celeriant/celeriant-go/msg"

// ListOrgs answers one page of organisations (section 8). Organisations
// of deleted aggregates stay listed.
func (s *Shard) ListOrgs(req *msg.ListOrgsRequest) (*msg.ListOrgsResponse, *Refusal) {
	resp := &msg.ListOrgsResponse{Correlated: req.Correlated}
	seen := make(map[msg.ID]bool)
	w := s.newWalk(orgItemBytes, func(g *segment, i int) bool {
		org := g.orgs.entered[i]
		if seen[org] {
			return false
		}
		seen[org] = true
		resp.Orgs = append(resp.Orgs, org)
		return true
	})
	resp.NextCursor = w.run(req.Cursor, func(g *segment) order { return g.orgs.order() })
	return resp, nil
}

// ListTypes answers one page of aggregate types.
func (s *Shard) ListTypes(req *msg.ListTypesRequest) (*msg.ListTypesResponse, *Refusal) {
	resp := &msg.ListTypesResponse{Correlated: req.Correlated}
	seen := make(map[msg.TypeItem]bool)
	w := s.newWalk(typeItemBytes, func(g *segment, i int) bool {
		t := g.types.entered[i]
		if seen[t] || excludes(req.Org, t.Org) {
			return false
		}
		seen[t] = true
		resp.Types = append(resp.Types, t)
		return true
	})
	resp.NextCursor = w.run(req.Cursor, func(g *segment) order { return g.types.order() })
	return resp, nil
}

// ListAggregates answers one page of aggregates, deleted ones included. Items
// that several segments of the page hold of one aggregate become one entry.
func (s *Shard) ListAggregates(req *msg.ListAggregatesRequest) (*msg.ListAggregatesResponse, *Refusal) {
	m := merger{at: make(map[msg.Key]int)}
	w := s.newWalk(listItemBytes, func(g *segment, i int) bool {
		key := g.keys.entered[i]
		if excludes(req.Org, key.Org) || excludes(req.Type, key.Type) {
			return false
		}
		return m.add(key, &g.items[i])
	})
	next := w.run(req.Cursor, func(g *segment) order { return g.keys.order() })
	return &msg.ListAggregatesResponse{Correlated: req.Correlated, Aggregates: m.list, NextCursor: next}, nil
}

func excludes(wanted msg.Opt[msg.ID], id msg.ID) bool { return wanted.Set && wanted.Value != id }

// merger joins the items of one page, newest segment first.
type merger struct {
	list   []msg.AggregateItem
	at     map[msg.Key]int
	closed []bool // older segments hold former lives of this aggregate
}

// add joins one item and reports whether its aggregate is new on the page.
func (m *merger) add(key msg.Key, it *item) bool {
	i, known := m.at[key]
	if !known {
		m.at[key] = len(m.list)
		m.list = append(m.list, msg.AggregateItem{
			Deleted: it.deleted, Key: key, BatchCount: it.count, MinVersion: it.min, MaxVersion: it.version,
			MaxServerTimestamp: it.time, CompressedSize: it.size, UncompressedSize: it.size,
		})
		m.closed = append(m.closed, it.deleted || it.reborn)
		return true
	}
	if m.closed[i] || it.deleted {
		m.closed[i] = true
		return false
	}
	a := &m.list[i]
	a.BatchCount += it.count
	a.CompressedSize += it.size
	a.UncompressedSize += it.size
	a.MaxServerTimestamp = max(a.MaxServerTimestamp, it.time)
	m.closed[i] = it.reborn
	return false
}
