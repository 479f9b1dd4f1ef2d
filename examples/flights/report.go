package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/celeriant/celeriant-go/operators"
)

// totals is what the read model says, and what this run did.
type totals struct {
	Departures     map[string]int `json:"departures"`
	Late           map[string]int `json:"late"`
	Cancelled      int            `json:"cancelled"`
	EventsApplied  uint64         `json:"events_applied"`
	BatchesApplied uint64         `json:"batches_applied"`
	Resumed        bool           `json:"resumed"`
}

func report(ctx context.Context, cfg config, db *database, applied operators.Progress, resumed bool) error {
	t := totals{EventsApplied: applied.Events, BatchesApplied: applied.Batches, Resumed: resumed}
	var err error
	if t.Departures, err = db.counts(ctx, "SELECT airport, sum(flights) FROM departures_by_hour GROUP BY airport"); err != nil {
		return err
	}
	if t.Late, err = db.counts(ctx, "SELECT carrier, flights FROM late_by_carrier"); err != nil {
		return err
	}
	if err := db.QueryRowContext(ctx, "SELECT coalesce(sum(flights), 0) FROM cancelled").Scan(&t.Cancelled); err != nil {
		return fmt.Errorf("reading %s: %w", db.path, err)
	}
	if cfg.json {
		return json.NewEncoder(cfg.out).Encode(t)
	}
	return printTables(ctx, cfg.out, db, t)
}

// counts reads a table of names and numbers.
func (d *database) counts(ctx context.Context, query string, args ...any) (map[string]int, error) {
	rows, err := d.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", d.path, err)
	}
	defer rows.Close()
	out := make(map[string]int)
	for rows.Next() {
		var name string
		var n int
		if err := rows.Scan(&name, &n); err != nil {
			return nil, fmt.Errorf("reading %s: %w", d.path, err)
		}
		out[name] = n
	}
	return out, rows.Err()
}

func printTables(ctx context.Context, to io.Writer, db *database, t totals) error {
	right := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	if err := printDepartures(ctx, right, db, t); err != nil {
		return err
	}
	if err := right.Flush(); err != nil {
		return err
	}
	left := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintf(left, "\nArrivals at least %d minutes late\n", lateBy)
	airlines := names(airlinesCSV)
	for _, carrier := range byCount(t.Late) {
		fmt.Fprintf(left, "  %s\t%s\t%d\n", carrier, airlines[carrier], t.Late[carrier])
	}
	if err := printPositions(ctx, left, db); err != nil {
		return err
	}
	fmt.Fprintf(left, "\n%d flights cancelled. %s\n", t.Cancelled, thisRun(t))
	return left.Flush()
}

func thisRun(t totals) string {
	begun := "This run began from nothing"
	if t.Resumed {
		begun = "This run went on where the last one stopped"
	}
	return fmt.Sprintf("%s and applied %d events in %d batches.", begun, t.EventsApplied, t.BatchesApplied)
}

// printDepartures prints a table of airports by hour.
func printDepartures(ctx context.Context, w io.Writer, db *database, t totals) error {
	airports := slices.Sorted(maps.Keys(t.Departures))
	byHour := make(map[string]map[string]int)
	for _, airport := range airports {
		var err error
		byHour[airport], err = db.counts(ctx, "SELECT printf('%02d', hour), flights FROM departures_by_hour WHERE airport = ?", airport)
		if err != nil {
			return err
		}
	}
	fmt.Fprint(w, "Departures\t")
	for _, airport := range airports {
		fmt.Fprintf(w, "%s\t", airport)
	}
	for hour := range 24 {
		name := fmt.Sprintf("%02d", hour)
		line, any := "\n"+name+":00\t", false
		for _, airport := range airports {
			n := byHour[airport][name]
			any = any || n > 0
			line += fmt.Sprintf("%d\t", n)
		}
		if any {
			fmt.Fprint(w, line)
		}
	}
	fmt.Fprint(w, "\ntotal\t")
	for _, airport := range airports {
		fmt.Fprintf(w, "%d\t", t.Departures[airport])
	}
	fmt.Fprintln(w)
	return nil
}

// printPositions prints where most aircraft were last.
func printPositions(ctx context.Context, w io.Writer, db *database) error {
	const most = 5
	positions, err := db.counts(ctx, "SELECT airport, count(*) FROM positions WHERE NOT flying GROUP BY airport")
	if err != nil {
		return err
	}
	aircraft := 0
	for _, n := range positions {
		aircraft += n
	}
	fmt.Fprintf(w, "\nWhere %d aircraft landed last\n", aircraft)
	airports := names(airportsCSV)
	for i, airport := range byCount(positions) {
		if i == most {
			break
		}
		fmt.Fprintf(w, "  %s\t%s\t%d\n", airport, airports[airport], positions[airport])
	}
	return nil
}

// byCount returns the names, those of the largest numbers first.
func byCount(counts map[string]int) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
}
