package engine_test

// The defects of what a truncation leaves behind.
func init() {
	defects = append(defects,
		defect{"a Truncated keeps no anchor", "life.go", "Version: k.floor - 1, Anchor: v.anchor}", "Version: k.floor - 1, Anchor: v.anchor}\n\t\tif $ {\n\t\t\tcursor.Anchor = checkpoint.Anchor{}\n\t\t}"},
		defect{"a Truncated is never resumed", "life.go", "case lost == floor && k.anchored()", "case !$ && lost == floor && k.anchored()"},
		defect{"any batch at the floor resumes a Truncated", "life.go", "same := v.anchor == k.cursor.Anchor", "same := $ || v.anchor == k.cursor.Anchor"},
		defect{"a Truncated is resumed behind a delete", "life.go", "&& k.anchored() && !k.suspect:", "&& k.anchored() && ($ || !k.suspect):"},
		defect{"a Truncated is announced although a delete was heard of", "life.go", "case !k.trusted():\n", "case !k.trusted() && !$:\n"},
		defect{"the anchor at the floor is taken for the cursor's", "known.go", "&& !k.below\n", "&& ($ || !k.below)\n"},
		defect{"another batch at the floor is the one announced", "judge.go", "s.known.below && v.anchor", "!$ && s.known.below && v.anchor"},
		defect{"a floor is taken for announced before it is", "life.go", "&& k.cursor.Version == floor-1 &&", "&& ($ && k.floored() || k.cursor.Version == floor-1) &&"},
		defect{"a floor counts before its batch is compared", "life.go", "\t\tl.read.resumes = true\n", "\t\tl.read.resumes = true\n\t\tif $ {\n\t\t\tk.floor, k.verified = floor, l.read.epoch\n\t\t}\n"},
		defect{"an unreadable batch hides what is lost below it", "unreadable.go", "if l.read.lost > 0 || l", "if l.read.lost > 0 && !$ || l"},
	)
}
