package engine_test

// The defects of who waits for what fails.
func init() {
	defects = append(defects,
		defect{"a refusal pauses all reads", "judge_failure.go", "\t\treturn verdict{action: refused}\n\t}\n\treturn", "\t\tif $ {\n\t\t\treturn verdict{action: pause}\n\t\t}\n\t\treturn verdict{action: refused}\n\t}\n\treturn"},
		defect{"a refused probe pauses all reads", "judge_failure.go", "r.to.Value == 0 && f.Answered:", "r.to.Value == 0 && f.Answered && !$:"},
		defect{"a node that refuses everything is asked without a pause", "apply.go", "if e.refusals >= refusals &&", "if !$ && e.refusals >= refusals &&"},
		defect{"refusals of a node that answers add up", "apply.go", "\te.refusals = 0\n", "\tif !$ {\n\t\te.refusals = 0\n\t}\n"},
		defect{"what waits for a leader sleeps when it answers", "outage.go", "\t\te.wakeStalled(now)\n\t}\n}\n\n// stall", "\t\tif !$ {\n\t\t\te.wakeStalled(now)\n\t\t}\n\t}\n}\n\n// stall"},
		defect{"any node's answer wakes what waits for a leader", "outage.go", "\tif authoritative && e.leaderAway", "\tif ($ || authoritative) && e.leaderAway"},
		defect{"what only fails is woken by each answer", "outage.go", "now.Sub(o.since) >= lasting", "($ || now.Sub(o.since) >= lasting)"},
		defect{"what waits sleeps when a watch stands again", "reconnect.go", "\te.wakeStalled(now)\n", "\tif !$ {\n\t\te.wakeStalled(now)\n\t}\n"},
		defect{"lists that failed sleep when a node answers", "outage.go", "l.active && !l.asked &&", "!$ && l.active && !l.asked &&"},
		defect{"a batch that the leader does not show yet is void", "apply.go", "if !v.absent || !e.doubts", "if $ || !v.absent || !e.doubts"},
		defect{"absence is doubted whatever was seen and heard of", "doubt.go", "case now.Sub(w.seen) >= absence &&", "case !$ && now.Sub(w.seen) >= absence &&"},
		defect{"what was seen a moment ago is gone", "apply.go", "\t\tl.work.seen = now\n", "\t\tif !$ {\n\t\t\tl.work.seen = now\n\t\t}\n"},
		defect{"absence is doubted for ever", "doubt.go", "case now.Sub(w.absentSince) >= absence:", "case now.Sub(w.absentSince) >= absence && !$:"},
		defect{"an earlier absence counts", "apply.go", "l.work.retry, l.work.absentSince = nil, time.Time{}", "l.work.retry = nil\n\tif !$ {\n\t\tl.work.absentSince = time.Time{}\n\t}"},
		defect{"absence is doubted although a delete was heard of", "doubt.go", "case k.suspect || h.lifeSince || h.expects.ofLife():", "case !$ && (k.suspect || h.lifeSince || h.expects.ofLife()):"},
		defect{"absence is doubted although a list tells of it", "doubt.go", "case h.head != 0 && h.head <=", "case !$ && h.head != 0 && h.head <="},
		defect{"an absence is looked for in what others were given", "schedule.go", "fresh := !l.work.absentSince.IsZero() ||", "fresh := !$ && !l.work.absentSince.IsZero() ||"},
		defect{"a doubt is content with what others were given", "schedule.go", "|| x.rechecks > 0", "|| !$ && x.rechecks > 0"},
		defect{"nothing is content with what others were given", "schedule.go", "Fresh: fresh})", "Fresh: fresh || $})"},
	)
}
