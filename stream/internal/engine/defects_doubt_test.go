package engine_test

// The defects of what is doubted before it is announced.
func init() {
	defects = append(defects,
		defect{"a list older than what was delivered is believed", "reconcile.go", "if sh.list.shown.has(item.key) {", "if !$ && sh.list.shown.has(item.key) {"},
		defect{"what was delivered is not noted for the list", "reconcile.go", "\t\tl.shown.add(key)\n", "\t\tif !$ {\n\t\t\tl.shown.add(key)\n\t\t}\n"},
		defect{"a list is doubted no longer for a follower", "doubt.go", "wait = max(wait, e.opts.MaxLag)", "if !$ {\n\t\t\twait = max(wait, e.opts.MaxLag)\n\t\t}"},
		defect{"a doubted list is never believed", "doubt.go", "if !now.Before(h.doubtUntil) {", "if !$ && !now.Before(h.doubtUntil) {"},
		defect{"a doubted list outlives its watch", "doubt.go", "sh.epoch != h.listEpoch {", "sh.epoch != h.listEpoch && !$ {"},
		defect{"a later list is doubted like the one before", "reconcile.go", "l.heard.doubtUntil = time.Time{}\n", "if !$ {\n\t\t\t\tl.heard.doubtUntil = time.Time{}\n\t\t\t}\n"},
		defect{"CaughtUp does not wait for a doubted end", "doubt.go", "&& !untold {", "&& (!untold || $) {"},
		defect{"CaughtUp does not wait for a delete that does not show", "fold.go", "!l.heard.expects.ofLife() && l.heard.agrees(&l.known) && l.known", "(!l.heard.expects.ofLife() || $) && l.heard.agrees(&l.known) && l.known"},
		defect{"what the leader does not have is looked for at a follower", "life.go", "\tleader := l.read.leader //", "\tleader := l.read.leader && !$ //"},
		defect{"an unreadable batch at the floor is tried for ever", "judge_failure.go", "atFloor := s.read.resumes &&", "atFloor := !$ && s.read.resumes &&"},
		defect{"an unreadable batch at the floor keeps the life", "unreadable.go", "l.read.lost > 0 || l.read.resumes {", "l.read.lost > 0 || l.read.resumes && !$ {"},
		defect{"an early gap before what is notified is no matter", "life.go", "sh.early && l.heard.since >", "sh.early && !$ && l.heard.since >"},
		defect{"a shard is early for ever", "reconcile.go", "\t\tsh.early = false\n", "\t\tsh.early = $\n"},
		defect{"no shard is early", "shard.go", "sh.early = e.opts.Late > 0 &&", "sh.early = e.opts.Late > 0 && !$ &&"},
		defect{"a look that fails is not made again", "reconcile.go", "if sh.early && sh.peekAt.IsZero() {", "if sh.early && sh.peekAt.IsZero() && !$ {"},
	)
}
