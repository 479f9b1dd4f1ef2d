package status

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/stream"
)

// manual maps the bold words of docs/operating.md to what the page says.
var manual = map[string]*regexp.Regexp{
	"Live since …, all handled":                   regexp.MustCompile(`^Live since [\d:]+, all handled$`),
	"Live since …, N unhandled":                   regexp.MustCompile(`^Live since [\d:]+, [\d.]+( [kMG])? unhandled$`),
	"Live since …, N unhandled, the oldest for …": regexp.MustCompile(`^Live since [\d:]+, .* unhandled, the oldest for .*$`),
	"nothing further is read":                     regexp.MustCompile(`; nothing further is read: `),
	"N parked":                                    regexp.MustCompile(`^Live; (.*; )?\d+ parked`),
	"N unreadable":                                regexp.MustCompile(`^Live; \d+ unreadable`),
	"Connecting since …":                          regexp.MustCompile(`^Connecting since `),
	"Reconnecting since …":                        regexp.MustCompile(`^Reconnecting since `),
	"Catching up":                                 regexp.MustCompile(`^Catching up: `),
	"Queued since …":                              regexp.MustCompile(`^Queued since `),
	"Retrying handler since …":                    regexp.MustCompile(`^Retrying handler since `),
	"Retrying database since …":                   regexp.MustCompile(`^Retrying database since `),
	"Retrying node since …":                       regexp.MustCompile(`^Retrying node since `),
	"Retrying client since …":                     regexp.MustCompile(`^Retrying client since `),
	"Not storing since …":                         regexp.MustCompile(`^Not storing since `),
	"Follower … behind the leader":                regexp.MustCompile(`^Follower .* behind the leader`),
	"Fenced at … by …":                            regexp.MustCompile(`^Fenced at .* by `),
	"Ended at …":                                  regexp.MustCompile(`^Ended at `),
}

// Each sentence that the page can say has its row in the operating manual, and each row's
// sentence is one that the page says: for every phase, and everything that can be retried.
func TestOperatingManualHasEachSentence(t *testing.T) {
	text, err := os.ReadFile("../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	said := make(map[string]bool)
	say := func(f *Facts, past []sample) {
		says := describe(f, &trail{samples: past}, noon).Says
		found := false
		for words, pattern := range manual {
			if pattern.MatchString(says) {
				said[words], found = true, true
			}
		}
		if !found {
			t.Errorf("the manual has no row for %q", says)
		}
	}
	for _, s := range situations {
		say(&s.facts, s.past)
	}
	for phase := Connecting; phase <= Closed; phase++ {
		say(&Facts{Name: "orders", Phase: phase, Since: ago(time.Hour)}, nil)
	}
	for _, what := range []string{stream.WhatHandler, stream.WhatStore, stream.WhatDatabase, stream.WhatNode, stream.WhatClient} {
		say(&Facts{Name: "orders", Phase: Live, Since: ago(time.Hour), Retrying: []Retry{{What: what, Since: ago(time.Minute), Error: "no"}}}, nil)
	}
	for words := range manual {
		if !said[words] {
			t.Errorf("the page never says %q", words)
		}
		if !strings.Contains(string(text), "\n| **"+words+"**") {
			t.Errorf("the manual has no row that begins with %q", words)
		}
	}
}
