package status

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteText writes the snapshot as plain text for a terminal: the sentence, the
// consumers, the worst first, and what is known of nodes, parked aggregates, partitions,
// rebuilds, waits and streams. The text says what the page says, in the same words, without
// colour. WriteText returns w's error.
func (s *Snapshot) WriteText(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "%s\n", clean(s.Sentence))
	if s.Process != "" {
		fmt.Fprintf(out, "%s, ", clean(s.Process))
	}
	fmt.Fprintf(out, "%s UTC\n", s.At.UTC().Format(time.DateTime))
	for i := range s.Consumers {
		writeConsumer(out, &s.Consumers[i], s.At)
	}
	for _, section := range []struct {
		title string
		rows  [][]string
	}{
		{"Nodes", nodeRows(s.Nodes)},
		{"Parked aggregates", parkedRows(s.Parked, s.At)},
		{"Partitions", partitionRows(s.Partitions)},
		{"Rebuilds", rebuildRows(s.Rebuilds)},
		{"Waits", waitRows(s.Waits, s.At)},
		{"Streams of the gateway", streamRows(s.Streams)},
	} {
		if len(section.rows) == 0 {
			continue
		}
		fmt.Fprintf(out, "\n%s\n", section.title)
		table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for _, row := range section.rows {
			for i := range row {
				row[i] = clean(row[i])
			}
			fmt.Fprintf(table, "  %s\n", strings.Join(row, "\t"))
		}
		_ = table.Flush() // out keeps its first error
	}
	return out.Flush()
}

// writeConsumer writes one consumer in up to four lines, so that no column has to be cut.
func writeConsumer(out io.Writer, c *Consumer, now time.Time) {
	fmt.Fprintf(out, "\n%s %s: %s\n", sign(c.Level), clean(c.Name), clean(c.Says))
	pending := "nothing pending"
	if c.OldestPending > 0 {
		pending = "oldest pending " + span(seconds(c.OldestPending))
	}
	fmt.Fprintf(out, "    %s, %s unhandled %s, %s delivered\n", pending, count(float64(c.Unhandled)), arrow(c.Trend), count(float64(c.Batches)))
	if c.Proof != "" {
		fmt.Fprintf(out, "    %s\n", clean(c.Proof))
	}
	if c.Next != "" {
		fmt.Fprintf(out, "    next: %s\n", clean(c.Next))
	}
	if len(c.Retrying) < 2 {
		return // the sentence tells of the only one
	}
	for _, r := range c.Retrying {
		fmt.Fprintf(out, "    retrying the %s for %s, attempt %d: %s\n", clean(r.What), span(now.Sub(r.Since)), r.Attempts, clean(r.Error))
	}
}

func nodeRows(nodes []Node) (rows [][]string) {
	for i := range nodes {
		n := &nodes[i]
		row := []string{n.Address, n.Role, fmt.Sprintf("%s, %d idle, %d waiting", plural(n.Open, "connection"), n.Idle, n.Waiting), n.Error}
		if !n.Resting.IsZero() {
			row[3] = strings.TrimSpace("resting until " + n.Resting.UTC().Format(time.TimeOnly) + " " + n.Error)
		}
		rows = append(rows, row)
	}
	return rows
}

func parkedRows(parked []Parked, now time.Time) (rows [][]string) {
	for i := range parked {
		p := &parked[i]
		text := p.Error
		if p.Request != "" {
			text += " (" + p.Request + " requested)"
		}
		rows = append(rows, []string{p.Consumer, p.Key, fmt.Sprintf("version %d", p.Version), span(now.Sub(p.Since)), text})
	}
	return rows
}

func partitionRows(partitions []Partitions) (rows [][]string) {
	for i := range partitions {
		p := &partitions[i]
		unowned := 0
		for _, owner := range p.Owners {
			if owner == "" {
				unowned++
			}
		}
		others := max(0, len(p.Owners)-unowned-len(p.Mine))
		rows = append(rows, []string{p.Consumer, fmt.Sprintf("%d here", len(p.Mine)), fmt.Sprintf("%d elsewhere", others),
			fmt.Sprintf("%d unowned", unowned), fmt.Sprintf("%d stopped", len(p.Stopped))})
	}
	return rows
}

func rebuildRows(rebuilds []Rebuild) (rows [][]string) {
	for i := range rebuilds {
		r := &rebuilds[i]
		left := ""
		if r.Estimate > 0 {
			left = "about " + span(r.Estimate) + " left"
		}
		rows = append(rows, []string{r.Name, r.State, fmt.Sprintf("%s of %s", count(float64(r.Done)), count(float64(r.Done)+float64(r.Remaining))), left})
	}
	return rows
}

func waitRows(waits []Wait, now time.Time) (rows [][]string) {
	for i := range waits {
		w := &waits[i]
		rows = append(rows, []string{w.Name, fmt.Sprintf("%d waiting", w.Waiting), "oldest " + span(now.Sub(w.Oldest))})
	}
	return rows
}

func streamRows(streams []Stream) (rows [][]string) {
	for i := range streams {
		g := &streams[i]
		mode := g.Mode
		if g.Transport != "" {
			mode += " (" + g.Transport + ")"
		}
		rows = append(rows, []string{mode, fmt.Sprintf("%d open", g.Open), fmt.Sprintf("%d queued", g.Queued), fmt.Sprintf("%d stalled", g.Stalled)})
	}
	return rows
}

// sign is the mark of a level that stands beside its word, so that nobody needs to see colours.
func sign(l Level) string { return [...]string{"✓", "…", "!", "✕"}[min(max(l, Fine), Ended)] }

// arrow shows how a number moved.
func arrow(trend int) string { return [...]string{"↘", "→", "↗"}[min(max(trend, -1), 1)+1] }

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
