package conformance_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest/conformance"
)

// A writer made three batches.
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
	check(t, map[string]judged{
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
	})
}

type judged struct{ record, broken string }

func check(t *testing.T, cases map[string]judged) {
	t.Helper()
	for name, c := range cases {
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

// by2 makes lines of the first reader those of the second.
func by2(lines string) string { return strings.ReplaceAll(lines, `{"what":`, `{"reader":1,"what":`) }

func about(what string) string { return `{"what":"` + what + `","key":"k"}` + "\n" }

// slow is a subscription that catches up again at 5 s without what was written at 3 s.
func slow(late string) string {
	return history + `{"ms":1000,"what":"open","run":1` + late + "}\n" + b1 + b2 + b3 + goes + caught +
		`{"ms":3000,"what":"write","key":"k","tag":"k.4","hash":4,"version":4}` + "\n" +
		`{"ms":5000,"what":"state","run":1,"kind":"reconnecting","since":5000}` + "\n" +
		strings.ReplaceAll(goes+caught, `{"what"`, `{"ms":5100,"what"`)
}

func write(tag, hash, version string) string {
	return `{"what":"try","key":"k","tag":"` + tag + `"}` + "\n" +
		`{"what":"write","key":"k","tag":"` + tag + `","hash":` + hash + `,"version":` + version + "}\n"
}

const (
	now     = `{"what":"open","run":1,"kind":"now"}` + "\n"
	goes    = `{"what":"state","run":1,"kind":"live"}` + "\n"
	deletes = `{"what":"delete","key":"k","continues":true}` + "\n"
)

// Several readers are judged each by what it follows: everything, what has joined
// its scope, what came since it began, or what no other was given.
func TestJudgementOfReaders(t *testing.T) {
	open2, divide := by2(open), `{"what":"divides"}`+"\n"
	started := history + now + goes + caught
	b4 := batch("k.4", "4", "4", "0")
	n4 := write("k.4", "4", "4")
	begun := `{"what":"commit","run":1,"key":"k","version":4}` + "\n"
	check(t, map[string]judged{
		"both have everything":            {history + open + open2 + b1 + by2(b1+b2+b3+caught) + b2 + b3 + caught + over, ""},
		"the second misses one":           {history + open + open2 + b1 + b2 + b3 + by2(b1+b3) + over, "G2"},
		"the second is not there":         {history + open + open2 + b1 + b2 + b3 + over, "G9"},
		"the first stored, not the other": {history + open + open2 + b1 + stored("1") + open + open2 + b2 + b3 + by2(b1+b2+b3) + over, ""},

		"divided":            {history + divide + by2(divide) + open + open2 + by2(b1+b2+b3+caught) + caught + over, ""},
		"given to both":      {history + divide + by2(divide) + open + open2 + by2(b1+b2+b3) + b1 + over, "G3"},
		"given to nobody":    {history + divide + by2(divide) + open + open2 + over, "G9 G9"},
		"divided with a gap": {history + divide + by2(divide) + open + open2 + by2(b1+b3) + over, "G2"},
		"also by one who does not": {history + divide + by2(divide) + open + open2 + by2(b1+b2+b3) + `{"reader":2,"what":"open","run":1}` + "\n" +
			strings.ReplaceAll(b1+b2+b3, `{"what":`, `{"reader":2,"what":`) + over, ""},

		"joined later":           {history + `{"what":"join","key":"other"}` + "\n" + open + caught + about("join") + b1 + b2 + b3 + over, ""},
		"not joined":             {history + `{"what":"join","key":"other"}` + "\n" + open + caught + b1 + over, "G8"},
		"joined and missed":      {history + about("join") + open + b1 + over, "G9"},
		"joined, caught up":      {history + `{"what":"join","key":"other"}` + "\n" + open + goes + caught + about("join") + `{"what":"state","run":1,"kind":"catching up"}` + "\n" + goes + caught + over, "G7 G9"},
		"leaving":                {history + about("join") + open + b1 + about("leave") + b2 + caught + about("left") + over, ""},
		"left":                   {history + about("join") + open + b1 + about("leave") + about("left") + b2 + over, "G8"},
		"joined again":           {history + about("join") + open + b1 + b2 + stored("2") + about("leave") + about("left") + about("join") + b3 + over, ""},
		"joined again too late":  {history + about("join") + open + b1 + stored("1") + about("leave") + about("left") + about("join") + b3 + over, "G5"},
		"joined again too early": {history + about("join") + open + b1 + b2 + stored("2") + about("leave") + about("left") + about("join") + b2 + b3 + over, "G5"},

		"late by less than it may be": {slow(`,"late":3000`) + over, "G9"},
		"late by more":                {slow(`,"late":1000`) + over, "G7 G9"},
		"late, and must not be":       {slow("") + over, "G7 G9"},

		"from now, nothing new":                            {started + over, ""},
		"from now, and then":                               {started + n4 + b4 + over, ""},
		"from now, sent before":                            {history + now + `{"what":"try","key":"k","tag":"k.4"}` + "\n" + goes + `{"what":"write","key":"k","tag":"k.4","hash":4,"version":4}` + "\n" + caught + over, ""},
		"from now, missed":                                 {started + n4 + over, "G9"},
		"from now, missed before another":                  {started + n4 + write("k.5", "5", "5") + batch("k.5", "5", "5", "0") + over, "G2"},
		"from now, old ones":                               {started + b3 + n4 + b4 + over, "G2"},
		"from now, readable again":                         {started + deletes + n4 + special("deleted", `,"version":3,"deleted":true`) + batch("k.1", "1", "1", "1") + batch("k.2", "2", "2", "1") + batch("k.3", "3", "3", "1") + batch("k.4", "4", "4", "1") + over, ""},
		"from now, where it begins":                        {history + now + goes + `{"what":"commit","run":1,"key":"k","version":3}` + "\n" + caught + n4 + b4 + over, ""},
		"from now, begun by the next run":                  {history + now + goes + n4 + now + goes + caught + over, ""},
		"from now, begun again behind what was not stored": {history + now + n4 + b4 + now + begun + goes + caught + over, ""},
		"from now, begun behind what the run has":          {history + now + n4 + b4 + begun + goes + caught + over, "G11"},
		"from now, stored unhandled after the start":       {started + n4 + b4 + now + begun + over, "G11"},
	})
}

func TestRecordsAreReadWhole(t *testing.T) {
	if _, err := conformance.Recheck(strings.NewReader(history + "{")); err == nil {
		t.Error("half a line went unnoticed")
	}
}
