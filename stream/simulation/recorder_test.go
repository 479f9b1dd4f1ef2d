package simulation_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// recorder keeps what happened.
type recorder struct {
	mu    sync.Mutex
	began time.Time
	lines []line
}

// line is one thing that happened; T counts nanoseconds.
type line struct {
	T    int64  `json:"t"`
	Who  string `json:"who"`
	What string `json:"what"`
}

func newRecorder() *recorder { return &recorder{began: time.Now()} }

func (r *recorder) add(who, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line{int64(time.Since(r.began)), who, what})
}

// wakes is what is noted of everybody who has waited. The note is compared when a
// run is repeated, and left out of what is shown.
const wakes = "wakes"

func (r *recorder) woken(who string) { r.add(who, wakes) }

func isWake(line string) bool { return strings.HasSuffix(line, `"what":"`+wakes+`"}`) }

// sorted returns the log as JSON lines. Lines of one instant are sorted: what
// happens in one instant has no order.
func (r *recorder) sorted() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := slices.Clone(r.lines)
	slices.SortStableFunc(lines, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.T, b.T), strings.Compare(a.Who, b.Who), strings.Compare(a.What, b.What))
	})
	out := make([]string, len(lines))
	for i, l := range lines {
		text, err := json.Marshal(l)
		if err != nil {
			panic(err) // a struct of strings and a number
		}
		out[i] = string(text)
	}
	return out
}
