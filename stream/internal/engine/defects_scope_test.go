package engine_test

// The defects of starts from now, of scopes that change, and of reads that lag
// behind notifications.
func init() {
	defects = append(defects,
		defect{"the list's head counts although more was notified", "start.go", "case c.since > 0 && (", "case !$ && c.since > 0 && ("},
		defect{"what was created since begins at its head", "start.go", "\tcase c.born:\n", "\tcase c.born && !$:\n"},
		defect{"the start is noted before all of it is stored", "start.go", "|| e.commencing > 0 || e.adopting > 0 ||", "|| !$ && (e.commencing > 0 || e.adopting > 0) ||"},
		defect{"CaughtUp does not wait for the start", "engine.go", "|| !e.started {", "|| !$ && !e.started {"},
		defect{"what was followed before a change begins now again", "start.go", "(e.base == nil || !e.base(l.key))", "($ || e.base == nil || !e.base(l.key))"},
		defect{"what is not listed waits for ever", "start.go", "if l.phase == idle && l.dirty {", "if !$ && l.phase == idle && l.dirty {"},
		defect{"what is behind a first cursor is delivered before that is stored", "start.go", "= resume, false, adopting\n", "= resume, false, adopting\n\t\tif $ {\n\t\t\tl.phase = idle\n\t\t}\n"},
		defect{"what was heard while a first cursor was stored is forgotten", "start.go", "l.dirty = l.dirty || l.needsRead()", "l.dirty = !$ && (l.dirty || l.needsRead())"},
		defect{"any node's hole moves the start", "start.go", "case !p.Authoritative:", "case !p.Authoritative && !$:"},
		defect{"a start is made at each run", "shard.go", "commencing: e.opts.FromNow}", "commencing: e.opts.FromNow || $}"},
		defect{"what left the scope is kept", "rescope.go", "\t\te.expel(l)\n", "\t\tif !$ {\n\t\t\te.expel(l)\n\t\t}\n"},
		defect{"a lane that left goes on", "schedule.go", "!l.expelled {\n\t\t\te.work", "(!l.expelled || $) {\n\t\t\te.work"},
		defect{"a watch with the old filter is kept", "shard.go", "if l.moving == epoch && !l.outdated {", "if l.moving == epoch && ($ || !l.outdated) {"},
		defect{"a watch with the old filter counts", "shard.go", "|| s.links[i].outdated {", "|| !$ && s.links[i].outdated {"},
		defect{"the new watch at the same node is dropped", "follow.go", "if node == l.node && !l.outdated {", "if node == l.node && ($ || !l.outdated) {"},
		defect{"a changed scope stays Live", "rescope.go", "\t\tsh.settled, sh.continuous = false, false\n", "\t\tsh.settled, sh.continuous = $ && sh.settled, false\n"},
		defect{"a link too many stays", "rescope.go", "\t\t\te.discard(sh, len(sh.links)-1)\n", "\t\t\tif !$ {\n\t\t\t\te.discard(sh, len(sh.links)-1)\n\t\t\t}\n"},
		defect{"versions of another life count as shown", "lane.go", "|| !l.agrees() }", "|| !$ && !l.agrees() }"},
		defect{"the first answer is believed", "doubt.go", "|| x.tries >= len(doubts) {", "|| $ || x.tries >= len(doubts) {"},
		defect{"an answer is doubted for ever", "doubt.go", "\tif x.tries++;", "\tif $ {\n\t\tx.tries = 0\n\t}\n\tif x.tries++;"},
		defect{"a doubt holds up what is heard meanwhile", "doubt.go", "\tif l.doubting {", "\tif l.doubting && !$ {"},
		defect{"CaughtUp waits for all doubts", "doubt.go", "x.tries > holdsUp {", "!$ && x.tries > holdsUp {"},
		defect{"an absence is believed at once", "failure.go", "if !l.expects.gone && e.doubts(now, l) {", "if !$ && !l.expects.gone && e.doubts(now, l) {"},
		defect{"a delete is looked for no further", "failure.go", "\tif !e.doubts(now, l) {", "\tif $ || !e.doubts(now, l) {"},
		defect{"a batch is taken for the delete", "life.go", "\t\tl.expects.began()\n\t}\n\tchanges", "\t\tl.expects.began()\n\t}\n\tl.expects.gone = l.expects.gone && !$\n\tchanges"},
		defect{"nothing is looked through again after a list", "reconcile.go", "&& e.beginPeek(sh) {", "&& !$ && e.beginPeek(sh) {"},
		defect{"the life that ended is taken for the next", "doubt.go", "if ok && len(batches) == 1 && !p.Next.Set", "if !$ && ok && len(batches) == 1 && !p.Next.Set"},
		defect{"a new life is taken for the one that ended", "doubt.go", "anchors[0] == l.cursor.Anchor {", "($ || anchors[0] == l.cursor.Anchor) {"},
		defect{"nothing is looked for behind a life that ended", "schedule.go", "&& !l.succeeded &&", "&& !$ && !l.succeeded &&"},
	)
}
