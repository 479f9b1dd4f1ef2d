package engine_test

// The defects of what is done only when there is something to do, and of memory
// that is used again.
func init() {
	defects = append(defects,
		defect{"dropped hints stir nobody", "fold.go", "e.stirred = true", "e.stirred = e.stirred || !$"},
		defect{"a shard whose hints were dropped is left alone", "shard.go", "&& !s.overflowed && (s.peekAt", "&& (!s.overflowed || $) && (s.peekAt"},
		defect{"a list that waits for room is left alone", "shard.go", "s.up() && !s.list.active &&", "s.up() && (!s.list.active || $) &&"},
		defect{"a late look that waits for room is left alone", "shard.go", "(s.peekAt.IsZero() || now.Before(s.peekAt))", "($ || s.peekAt.IsZero() || now.Before(s.peekAt))"},
		defect{"while a shard is at work its times are not looked at", "engine.go", "if e.stirred || !e.shardsWake.known {", "if e.stirred && !$ || !e.shardsWake.known {"},
		defect{"CaughtUp waits for the lost shard only", "engine.go", "if e.phase == Live {\n\t\te.catchAll()", "if e.phase == Live && !$ {\n\t\te.catchAll()"},
		defect{"a lane is forgotten twice", "engine.go", "\t\t\tcontinue\n\t\t}\n\t\te.forgetRested(l)", "\t\t\tif !$ {\n\t\t\t\tcontinue\n\t\t\t}\n\t\t}\n\t\te.forgetRested(l)"},
		defect{"a lane begins as the one before ended", "fold.go", "*l = lane{key: key, shard: noShard}", "if !$ {\n\t\t*l = lane{}\n\t}\n\tl.key, l.shard = key, noShard"},
		defect{"changes are given away twice", "life.go", "\te.changes = nil //", "\tif !$ {\n\t\te.changes = nil\n\t} //"},
		defect{"a look-up asks for those before again", "load.go", "ld.keys, ld.lanes = ld.keys[:0], ld.lanes[:0]", "if !$ {\n\t\tld.keys, ld.lanes = ld.keys[:0], ld.lanes[:0]\n\t}"},
		defect{"a scope that changes starts nothing", "rescope.go", "e.starting = e.opts.FromNow", "e.starting = e.starting || e.opts.FromNow && !$"},
	)
}
