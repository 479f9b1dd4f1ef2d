package engine_test

// The defects of what is done only when there is something to do, and of memory
// that is used again.
func init() {
	defects = append(defects,
		defect{"dropped hints stir nobody", "fold.go", "\t\t\te.stir(sh)\n", "\t\t\tif !$ {\n\t\t\t\te.stir(sh)\n\t\t\t}\n"},
		defect{"a shard whose hints were dropped is left alone", "reconcile.go", "\tif sh.overflowed && !sh.waitsForRelist {", "\tif sh.overflowed && !sh.waitsForRelist && !$ {"},
		defect{"a list that waits for room is left alone", "reconcile.go", "\t\tsh.waitsForPage = true\n\t\te.toList.push(sh)\n\t}\n}\n\n// pumpPages", "\t\tsh.waitsForPage = true\n\t\tif !$ || e.queued() < backlog {\n\t\t\te.toList.push(sh)\n\t\t}\n\t}\n}\n\n// pumpPages"},
		defect{"a late look that waits for room is left alone", "reconcile.go", "\t} else if !sh.waitsForPage {\n", "\t} else if !sh.waitsForPage && !$ {\n"},
		defect{"CaughtUp waits for the lost shard only", "engine.go", "if e.phase == Live && p != Live {", "if e.phase == Live && p != Live && !$ {"},
		defect{"a lane is forgotten twice", "engine.go", "\t\t\tcontinue\n\t\t}\n\t\te.forgetRested(l)", "\t\t\tif !$ {\n\t\t\t\tcontinue\n\t\t\t}\n\t\t}\n\t\te.forgetRested(l)"},
		defect{"a lane begins as the one before ended", "fold.go", "*l = lane{key: key, shard: noShard}", "if !$ {\n\t\t*l = lane{}\n\t}\n\tl.key, l.shard = key, noShard"},
		defect{"changes are given away twice", "apply.go", "\te.changes = nil //", "\tif !$ {\n\t\te.changes = nil\n\t} //"},
		defect{"a look-up asks for those before again", "load.go", "ld.keys, ld.lanes = ld.keys[:0], ld.lanes[:0]", "if !$ {\n\t\tld.keys, ld.lanes = ld.keys[:0], ld.lanes[:0]\n\t}"},
		defect{"a scope that changes starts nothing", "rescope.go", "\t\te.startShard(sh)\n", "\t\tif !$ {\n\t\t\te.startShard(sh)\n\t\t}\n"},
	)
}
