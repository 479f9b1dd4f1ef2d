package engine_test

// The defects of lists during which watches are lost, and of passes that cross a jump of
// versions.
func init() {
	defects = append(defects,
		defect{"a list that is interrupted again begins again", "reconcile.go", "\tl.interrupted = true\n", "\tif l.interrupted = true; $ {\n\t\tsh.list = &noList\n\t}\n"},
		defect{"a list that is interrupted once goes on", "reconcile.go", "sh.interruptions == 1 ||", "sh.interruptions == 1 && !$ ||"},
		defect{"a start from now goes on with a list", "reconcile.go", " sh.starting || e.opts.LiveOnly {", " sh.starting && !$ || e.opts.LiveOnly {"},
		defect{"no other list follows one that was interrupted", "reconcile.go", "\tif interrupted {\n", "\tif interrupted && !$ {\n"},
		defect{"a list goes on at another node", "reconcile.go", "l.node != sh.node() && !e.mayLag()", "l.node != sh.node() && !e.mayLag() && !$"},
		defect{"interruptions are counted for ever", "reconcile.go", "\tsh.interruptions = 0\n", "\tif !$ {\n\t\tsh.interruptions = 0\n\t}\n"},
		defect{"a jump of versions is crossed from version 1", "judge.go", "if s.read.stage == confirm && s.known.cursor.Version == 1 {\n\t\tr.stage = first", "if s.read.stage == confirm && s.known.cursor.Version == 1 && !$ {\n\t\tr.stage = first"},
		defect{"a look behind version 1 is not proven before", "judge.go", "\t\tr.stage = first\n\t}\n}", "\t\tif r.stage = first; $ {\n\t\t\tr.stage = skip\n\t\t}\n\t}\n}"},
	)
}
