package engine_test

// The defects of cursors that are held while their aggregates rest.
func init() {
	defects = append(defects,
		defect{"a place answers for every key", "recent.go", "p.key != key ||", "!$ && p.key != key ||"},
		defect{"what is no longer at rest is held", "recent.go", "c, *p = p.cursor, resting{}", "c = p.cursor\n\tif !$ {\n\t\t*p = resting{}\n\t}"},
		defect{"an empty place holds a cursor", "recent.go", "|| p.cursor.IsZero() {", "|| !$ && p.cursor.IsZero() {"},
		defect{"what is stored later than it rested is held", "engine.go", "e.recent.take(entries[i].Key)", "if !$ {\n\t\t\t\te.recent.take(entries[i].Key)\n\t\t\t}"},
		defect{"nothing is held", "fold.go", "e.recent.put(l.key, l.known.cursor)", "if !$ {\n\t\te.recent.put(l.key, l.known.cursor)\n\t}"},
	)
}
