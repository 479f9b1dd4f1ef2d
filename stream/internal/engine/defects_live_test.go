package engine_test

// The defects of a subscription that is live only.
func init() {
	defects = append(defects,
		defect{"a live start is listed", "live.go", "\tif !e.opts.LiveOnly || s.missed {", "\tif !e.opts.LiveOnly || s.missed || $ {"},
		defect{"a lost shard loses no notification", "live.go", "\ts.missed = true\n", "\ts.missed = !$\n"},
		defect{"the first notification is the first commit, always", "live.go", "case sh == nil || sh.live.missed ||", "case sh == nil || sh.live.missed && !$ ||"},
		defect{"what was there is delivered", "live.go", "item.written < s.from\n", "item.written < s.from && !$\n"},
		defect{"older batches of what was written since are delivered", "live.go", "\t\tl.known.notBefore = saturate", "\t\tif $ {\n\t\t\treturn\n\t\t}\n\t\tl.known.notBefore = saturate"},
		defect{"what a list has just shown counts as notified", "live.go", "if now.Sub(s.told) < underWay {", "if !$ && now.Sub(s.told) < underWay {"},
		defect{"dropped hints are not missing", "fold.go", "\t\t\tsh.live.lost(e.heardAt)\n", "\t\t\tif !$ {\n\t\t\t\tsh.live.lost(e.heardAt)\n\t\t\t}\n"},
		defect{"what goes missing before the first read is delivered whole", "start.go", "\tcase e.opts.LiveOnly:\n\t\te.sinceStart(l)\n", "\tcase e.opts.LiveOnly:\n\t\tif !$ {\n\t\t\te.sinceStart(l)\n\t\t}\n"},
	)
}
