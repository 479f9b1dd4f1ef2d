package rebuild_test

import (
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/rebuild"
)

func TestJudge(t *testing.T) {
	at := func(version, hash uint64) checkpoint.Cursor {
		return checkpoint.Cursor{Version: version, Anchor: checkpoint.Anchor{Hash: hash}}
	}
	deleted := checkpoint.Cursor{Life: 1, Deleted: true}
	batch := func(version, hash uint64) rebuild.Step {
		return rebuild.Step{Version: version, Anchor: checkpoint.Anchor{Hash: hash}}
	}
	trimmed := rebuild.Step{Kind: rebuild.Trimmed, Version: 3}
	unreadable := rebuild.Step{Kind: rebuild.Unreadable, Version: 3}
	life := func(previous checkpoint.Cursor) rebuild.Step {
		return rebuild.Step{Kind: rebuild.Life, Previous: previous}
	}
	for _, test := range []struct {
		what   string
		step   rebuild.Step
		theirs checkpoint.Cursor
		log    rebuild.Log
		want   rebuild.Verdict
	}{
		{"nothing handled", batch(1, 1), checkpoint.Cursor{}, rebuild.Same, rebuild.Wait},
		{"beyond the cursor", batch(4, 4), at(3, 3), rebuild.Same, rebuild.Wait},
		{"at the cursor", batch(3, 3), at(3, 3), rebuild.Unknown, rebuild.Pass},
		{"at the cursor, another batch", batch(3, 9), at(3, 3), rebuild.Unknown, rebuild.Wait},
		{"below the cursor, nobody has compared", batch(2, 2), at(3, 3), rebuild.Unknown, rebuild.Ask},
		{"below the cursor, in the same log", batch(2, 2), at(3, 3), rebuild.Same, rebuild.Pass},
		{"below the cursor, in another log", batch(2, 2), at(3, 3), rebuild.Other, rebuild.Wait},
		{"of an aggregate that is deleted there", batch(2, 2), checkpoint.Cursor{Life: 1, Version: 3, Deleted: true}, rebuild.Same, rebuild.Wait},
		{"trimmed up to the cursor", trimmed, at(3, 3), rebuild.Unknown, rebuild.Pass},
		{"trimmed beyond the cursor", trimmed, at(2, 2), rebuild.Same, rebuild.Wait},
		{"unreadable at the cursor", unreadable, at(3, 3), rebuild.Unknown, rebuild.Pass},
		{"unreadable beyond the cursor", unreadable, at(2, 2), rebuild.Same, rebuild.Wait},
		{"unreadable, of an aggregate that is deleted there", unreadable, checkpoint.Cursor{Life: 1, Version: 3, Deleted: true}, rebuild.Same, rebuild.Wait},
		{"a life of which nothing was handled", life(at(2, 2)), checkpoint.Cursor{}, rebuild.Same, rebuild.Wait},
		{"a life that was deleted there", life(at(2, 2)), deleted, rebuild.Unknown, rebuild.Pass},
		{"a life that was deleted at a version there", life(at(2, 2)), checkpoint.Cursor{Version: 2, Anchor: checkpoint.Anchor{Hash: 2}, Deleted: true}, rebuild.Unknown, rebuild.Pass},
		{"a life that was reset there", life(at(2, 2)), checkpoint.Cursor{Life: 1}, rebuild.Unknown, rebuild.Pass},
		{"a life in which it stands", life(at(2, 2)), at(2, 2), rebuild.Same, rebuild.Wait},
		{"a life behind which it stands at the same version", life(at(2, 2)), at(2, 7), rebuild.Unknown, rebuild.Pass},
		{"a life, by another version", life(at(2, 2)), at(5, 5), rebuild.Unknown, rebuild.Ask},
		{"a life, by another version of the log", life(at(2, 2)), at(5, 5), rebuild.Same, rebuild.Pass},
		{"a life, by another version of no log", life(at(2, 2)), at(5, 5), rebuild.Other, rebuild.Wait},
		{"a life, by a cursor without an anchor", life(at(2, 2)), at(2, 0), rebuild.Unknown, rebuild.Ask},
		{"a life, from a cursor without an anchor", life(at(2, 0)), at(2, 2), rebuild.Unknown, rebuild.Ask},
	} {
		if got := rebuild.Judge(test.step, test.theirs, test.log); got != test.want {
			t.Errorf("%s: %v, want %v", test.what, got, test.want)
		}
	}
}

func TestReached(t *testing.T) {
	at := func(version, hash uint64) checkpoint.Cursor {
		return checkpoint.Cursor{Version: version, Anchor: checkpoint.Anchor{Hash: hash}}
	}
	deleted := checkpoint.Cursor{Life: 1, Version: 2, Deleted: true}
	for _, test := range []struct {
		what         string
		mine, theirs checkpoint.Cursor
		want         bool
	}{
		{"the same batch", at(2, 2), at(2, 2), true},
		{"another batch of the version", at(2, 3), at(2, 2), false},
		{"a version before", at(1, 1), at(2, 2), false},
		{"a version beyond", at(3, 3), at(2, 2), false},
		{"behind a trimmed range", at(2, 0), at(2, 2), true},
		{"behind their trimmed range", at(2, 2), at(2, 0), true},
		{"deleted alone", deleted, at(2, 2), false},
		{"deleted there alone", at(2, 2), deleted, false},
		{"deleted in both", checkpoint.Cursor{Life: 4, Version: 9, Deleted: true}, deleted, true},
		{"never seen, deleted there", checkpoint.Cursor{}, deleted, true},
		{"reset in both", checkpoint.Cursor{Life: 2}, checkpoint.Cursor{Life: 1}, true},
		{"reset there alone", at(2, 2), checkpoint.Cursor{Life: 1}, false},
	} {
		if got := rebuild.Reached(test.mine, test.theirs); got != test.want {
			t.Errorf("%s: %v", test.what, got)
		}
	}
}
