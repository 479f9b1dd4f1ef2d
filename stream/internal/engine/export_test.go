package engine

// What tests may see beside commands and statistics.

// Lanes is how many aggregates the engine holds state of.
func (e *Engine) Lanes() int { return len(e.lanes) }

// Purpose names what a read under way is for.
func (e *Engine) Purpose(id uint64) string {
	l := e.reads[id]
	if l == nil {
		return "none"
	}
	switch {
	case l.stage == resume && l.openEnd:
		return "open end"
	case l.stage == resume && l.emptyTo > 0:
		return "hole"
	case l.stage == confirm && l.floored():
		return "confirm floor"
	}
	return [...]string{resume: "resume", first: "first", skip: "skip", confirm: "confirm", probe: "probe", commence: "commence", succeed: "succeed"}[l.stage]
}

// Overflowed reports whether hints of some shard were dropped.
func (e *Engine) Overflowed() bool {
	for _, sh := range e.shards {
		if sh.overflowed {
			return true
		}
	}
	return false
}
