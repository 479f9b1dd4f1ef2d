package status

import (
	"fmt"
	"html/template"
	"strings"
)

const (
	sparkWidth  = 96
	sparkHeight = 16
)

// sparkline draws rates as a line without axes: a shape, not a number to read.
func sparkline(rates []float64) template.HTML {
	if len(rates) < 2 {
		return ""
	}
	top := 0.0
	for _, r := range rates {
		top = max(top, r)
	}
	if top == 0 {
		top = 1
	}
	var points strings.Builder
	for i, r := range rates {
		x := float64(i) * sparkWidth / float64(len(rates)-1)
		y := sparkHeight - 1 - r/top*(sparkHeight-2)
		fmt.Fprintf(&points, "%.1f,%.1f ", x, y)
	}
	// Numbers alone go in: nothing needs escaping.
	return template.HTML(fmt.Sprintf(`<svg class="spark" role="img" aria-label="batches per second, lately" width="%d" height="%d" viewBox="0 0 %d %d"><polyline points="%s"/></svg>`,
		sparkWidth, sparkHeight, sparkWidth, sparkHeight, strings.TrimSpace(points.String())))
}

// cell is one partition on the page.
type cell struct {
	Number  int
	Class   string
	Text    string
	Explain string
}

// cells makes the partitions of one name into cells: mine, another member's, unowned, or
// stopped, each with a letter so that nothing hangs on colour.
func cells(p Partitions) []cell {
	mine := make(map[uint32]bool, len(p.Mine))
	for _, n := range p.Mine {
		mine[n] = true
	}
	out := make([]cell, 0, len(p.Owners))
	for i, owner := range p.Owners {
		c := cell{Number: i, Class: "other", Text: "o", Explain: fmt.Sprintf("partition %d: owned by %s", i, clean(owner))}
		switch reason, stopped := p.Stopped[uint32(i)]; {
		case stopped:
			c.Class, c.Text, c.Explain = "stopped", "✕", fmt.Sprintf("partition %d: stopped: %s", i, clean(reason))
		case owner == "":
			c.Class, c.Text, c.Explain = "unowned", "!", fmt.Sprintf("partition %d: nobody owns it", i)
		case mine[uint32(i)]:
			c.Class, c.Text, c.Explain = "mine", "m", fmt.Sprintf("partition %d: owned by this process", i)
		}
		out = append(out, c)
	}
	return out
}
