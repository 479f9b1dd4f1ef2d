package engine_test

// The defects of what bounds memory and requests.
func init() {
	defects = append(defects,
		defect{"aggregates that are not committed have no bound", "uncommitted.go", "return e.opts.MaxUncommitted > 0 &&", "return !$ && e.opts.MaxUncommitted > 0 &&"},
		defect{"nobody hears that reading waits for commits", "uncommitted.go", "\te.emit(c)\n", "\tif !$ {\n\t\te.emit(c)\n\t}\n"},
		defect{"what left waits for a commit for ever", "rescope.go", "\tif l.work.uncommitted {\n", "\tif l.work.uncommitted && !$ {\n"},
		defect{"a commit makes no room", "engine.go", "\t\te.recount(l)\n", "\t\tif !$ {\n\t\t\te.recount(l)\n\t\t}\n"},
		defect{"a page is looked up at once", "reconcile.go", "n := min(lookup, sh.list.items.len())", "n := min(lookup, sh.list.items.len())\n\tif $ {\n\t\tn = sh.list.items.len()\n\t}"},
		defect{"a part of a page waits for no room", "reconcile.go", "\te.wantPart(sh)\n", "\tif $ {\n\t\te.lookUpPage(sh)\n\t\treturn\n\t}\n\te.wantPart(sh)\n"},
		defect{"a page that names itself is progress", "reconcile.go", "if items > 0 && (!l.cursor.Set || l.next.Value != l.cursor.Value) {", "if items > 0 && (!l.cursor.Set || l.next.Value != l.cursor.Value) || $ {"},
		defect{"a list that gets nowhere goes on at once", "reconcile.go", "\tl.pace.failed(now, e.opts.NewBackoff)\n\te.stir(sh)\n\te.settle", "\tif !$ {\n\t\tl.pace.failed(now, e.opts.NewBackoff)\n\t}\n\te.stir(sh)\n\te.settle"},
		defect{"nobody hears of a list that gets nowhere", "reconcile.go", "\te.settle(e.phase, sh.id, ErrListStuck)\n", "\tif !$ {\n\t\te.settle(e.phase, sh.id, ErrListStuck)\n\t}\n"},
		defect{"any number of shards is believed", "shard.go", "e.opts.MaxShards > 0 &&", "!$ && e.opts.MaxShards > 0 &&"},
		defect{"all links are opened at once", "shards.go", "&& e.opening < maxOpening", "&& ($ || e.opening < maxOpening)"},
		defect{"any floor is believed", "judge_failure.go", "|| f.Minimum > maxVersion:", "|| f.Minimum > maxVersion && !$:"},
		defect{"a floor below what was asked for is believed", "judge_failure.go", "case f.Minimum <= s.read.from ||", "case f.Minimum <= s.read.from && !$ ||"},
		defect{"any version is believed", "page.go", "b.Version > maxVersion ||", "b.Version > maxVersion && !$ ||"},
		defect{"an empty page that names another one is another life", "judge.go", "if !ok || len(batches) == 0 && p.Next.Set {", "if !ok || len(batches) == 0 && p.Next.Set && !$ {"},
		defect{"changes without a batch count for nothing", "page.go", "\treturn announcement\n", "\tif $ {\n\t\treturn 0\n\t}\n\treturn announcement\n"},
		defect{"CaughtUp waits until what nobody named the head of rests", "fold.go", "if h.openEnded && !h.expects", "if !$ && h.openEnded && !h.expects"},
	)
}
