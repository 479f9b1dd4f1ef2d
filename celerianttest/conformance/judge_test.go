package conformance_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/conformance"
)

// What a writer did: three batches.
const history = `
{"what":"write","key":"k","tag":"k.1","hash":1,"version":1}
{"what":"write","key":"k","tag":"k.2","hash":2,"version":2}
{"what":"write","key":"k","tag":"k.3","hash":3,"version":3}
`

// And then a deletion and another life.
const reborn = history + `
{"what":"delete","key":"k"}
{"what":"write","key":"k","tag":"k.4","hash":4,"version":1}
{"what":"write","key":"k","tag":"k.5","hash":5,"version":4}
`

const open = `{"what":"open","run":1}
`

// batch, handled and so on are lines of the first run.
func batch(tag, hash, version, life string) string {
	return `{"what":"change","run":1,"key":"k","kind":"batch","tag":"` + tag + `","hash":` + hash + `,"version":` + version + `,"life":` + life + "}\n"
}

func special(kind, rest string) string {
	return `{"what":"change","run":1,"key":"k","kind":"` + kind + `"` + rest + "}\n"
}

func stored(version string) string {
	cursor := `"run":1,"key":"k","version":` + version + "}\n"
	return `{"what":"handled",` + cursor + `{"what":"commit",` + cursor
}

var (
	b1, b2, b3 = batch("k.1", "1", "1", "0"), batch("k.2", "2", "2", "0"), batch("k.3", "3", "3", "0")
	n1, n2     = batch("k.4", "4", "1", "1"), batch("k.5", "5", "4", "1")
	deleted    = special("deleted", `,"version":3,"deleted":true`)
	reset      = special("reset", `,"life":1`)
	caught     = special("caught_up", "")
	over       = `{"what":"settled"}` + "\n"
)

// Each broken promise is found, under its own name; what is kept is let pass.
func TestJudgement(t *testing.T) {
	for name, c := range map[string]struct{ record, broken string }{
		"nothing is broken":                 {history + open + b1 + b2 + b3 + caught + over, ""},
		"a new life":                        {reborn + open + b1 + b2 + b3 + deleted + n1 + n2 + caught + over, ""},
		"a reset":                           {reborn + open + b1 + reset + n1 + n2 + caught + over, ""},
		"resumed where it was":              {history + open + b1 + b2 + stored("2") + open + b3 + caught + over, ""},
		"a repeat of what was not stored":   {history + open + b1 + stored("1") + b2 + open + b2 + b3 + caught + over, ""},
		"trimmed":                           {history + trim("3") + open + special("truncated", `,"from":1,"to":2,"version":2`) + b3 + caught + over, ""},
		"out of order":                      {history + open + b1 + b3 + b2 + over, "G2 G3 G9"},
		"lives interleave":                  {reborn + open + b1 + b2 + b3 + deleted + n1 + batch("k.2", "2", "2", "1") + n2 + over, "G1 G1 G2 G2"},
		"an old life after a new one":       {reborn + open + reset + n1 + special("reset", `,"life":2`) + batch("k.1", "1", "1", "2"), "G1 G6"},
		"a gap":                             {history + open + b1 + b3 + caught + over, "G2"},
		"twice":                             {history + open + b1 + b1 + b2 + b3 + over, "G3"},
		"altered":                           {history + open + batch("k.1", "77", "1", "0") + b2 + b3 + over, "G4"},
		"resumed too late":                  {history + open + b1 + stored("1") + open + b3 + over, "G5"},
		"resumed too early":                 {history + open + b1 + b2 + stored("2") + open + b2 + b3 + over, "G5"},
		"a needless reset":                  {history + open + b1 + reset + batch("k.1", "1", "1", "1") + batch("k.2", "2", "2", "1") + batch("k.3", "3", "3", "1") + over, "G6"},
		"deleted for nothing":               {history + open + b1 + deleted, "G6"},
		"deleted twice":                     {reborn + open + b1 + deleted + deleted, "G6"},
		"caught up too early":               {history + open + b1 + b2 + caught + b3 + over, "G7"},
		"caught up too often":               {history + open + b1 + b2 + b3 + caught + caught + over, "G7"},
		"a phantom":                         {history + open + b1 + batch("k.9", "9", "2", "0"), "G8"},
		"an aggregate that nobody wrote":    {history + open + strings.ReplaceAll(b1, `"k"`, `"other"`), "G8"},
		"lost by the server":                {history + `{"what":"truth","key":"k","from":1,"text":"k.1 k.2"}` + "\n", "G8"},
		"never arrived":                     {history + open + b1 + b2 + over, "G9"},
		"never seen":                        {history + open + over, "G9"},
		"its end never seen":                {history + `{"what":"delete","key":"k"}` + "\n" + open + b1 + over, "G9"},
		"stored before it was handled":      {history + open + b1 + `{"what":"commit","run":1,"key":"k","version":1}` + "\n", "G11"},
		"an end without a cause":            {history + open + `{"what":"end","run":1}` + "\n", "G15"},
		"truncated what was there":          {history + open + special("truncated", `,"from":1,"to":2,"version":2`) + b3 + over, "G2"},
		"truncated what was delivered":      {history + trim("3") + open + b1 + b2 + special("truncated", `,"from":2,"to":2,"version":2`) + b3 + over, "G2"},
		"a version given out twice":         {history + `{"what":"write","key":"k","tag":"k.4","hash":4,"version":2}` + "\n" + open + b1 + over, "server"},
		"a write that the server has twice": {history + open + b1 + b2 + b3 + batch("k.3", "3", "4", "0") + over, "server"},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := conformance.Recheck(strings.NewReader(c.record))
			if err != nil {
				t.Fatal(err)
			}
			var broken []string
			for _, v := range found {
				broken = append(broken, v.Guarantee)
			}
			slices.Sort(broken)
			if got := strings.Join(broken, " "); got != c.broken {
				t.Errorf("broken: %q, want %q: %v", got, c.broken, found)
			}
		})
	}
}

func trim(version string) string {
	return `{"what":"trim","key":"k","version":` + version + "}\n"
}

func TestRecordsAreReadWhole(t *testing.T) {
	if _, err := conformance.Recheck(strings.NewReader(history + "{")); err == nil {
		t.Error("half a line went unnoticed")
	}
}
