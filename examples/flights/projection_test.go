package main

import (
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

const twoAircraft = csvHeader + goodRow +
	"2013,1,1,600,600,0,900,819,61,DL,1,N1,JFK,ATL\n" +
	"2013,1,1,NA,700,NA,NA,819,NA,DL,2,N1,JFK,ATL\n"

// changesOf are the batches of a file as the subscription delivers them.
func changesOf(t *testing.T, text string) []stream.Change {
	t.Helper()
	flights, err := parseFlights("test", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	batches, err := plan(flights)
	if err != nil {
		t.Fatal(err)
	}
	var changes []stream.Change
	for _, b := range batches {
		changes = append(changes, stream.Change{Kind: stream.Batch, Key: b.key,
			Batch: msg.Batch{Version: 1, Events: b.events}, Cursor: checkpoint.Cursor{Version: 1}})
	}
	return changes
}

func newProjection(t *testing.T) *projection {
	t.Helper()
	db, err := openDatabase(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return &projection{db: db, goal: newGoal(db.store), ledger: true}
}

func (p *projection) do(t *testing.T, changes ...stream.Change) error {
	t.Helper()
	tx, err := p.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if err := p.apply(t.Context(), tx, changes); err != nil {
		return err
	}
	return tx.Commit()
}

// The rows of an aircraft are taken back when its history ends, those of others
// stay.
func TestForgetting(t *testing.T) {
	for _, kind := range []stream.Kind{stream.Deleted, stream.Reset} {
		p := newProjection(t)
		changes := changesOf(t, twoAircraft)
		if err := p.do(t, changes...); err != nil {
			t.Fatal(err)
		}
		counts := map[string][2]int{"departures": {2, 1}, "late": {1, 0}, "cancelled": {1, 0}, "positions": {2, 1}}
		for table, want := range counts {
			if n := number(t, p.db.DB, "SELECT count(*) FROM "+table); n != want[0] {
				t.Errorf("%d rows in %s, want %d", n, table, want[0])
			}
		}
		if err := p.do(t, stream.Change{Kind: kind, Key: changes[1].Key}); err != nil {
			t.Fatal(err)
		}
		for table, want := range counts {
			if n := number(t, p.db.DB, "SELECT count(*) FROM "+table); n != want[1] {
				t.Errorf("after %v %d rows in %s, want %d", kind, n, table, want[1])
			}
		}
	}
}

func TestGapsAndWhatCannotBeRead(t *testing.T) {
	p, key := newProjection(t), keyOf("N1")
	if err := p.do(t, stream.Change{Kind: stream.Truncated, Key: key, From: 3, To: 5}); err != nil {
		t.Fatal(err)
	}
	if n := number(t, p.db.DB, "SELECT count(*) FROM gaps WHERE first = 3 AND last = 5"); n != 1 {
		t.Errorf("%d gaps", n)
	}
	err := p.do(t, stream.Change{Kind: stream.Unreadable, Key: key, Version: 7})
	if err == nil || !strings.Contains(err.Error(), "batch 7") || !strings.Contains(err.Error(), key.String()) {
		t.Error(err)
	}
	bad := changesOf(t, twoAircraft)[0]
	bad.Batch.Events[0].Value = []byte("{")
	if err := p.do(t, bad); err == nil || !strings.Contains(err.Error(), bad.Key.String()) {
		t.Error(err)
	}
}

// An aircraft's position is where its last event leaves it.
func TestPositions(t *testing.T) {
	p := newProjection(t)
	flying := csvHeader + goodRow + "2013,1,2,600,600,0,NA,819,NA,UA,2,N14228,IAH,EWR\n"
	for i, c := range changesOf(t, flying) {
		if err := p.do(t, c); err != nil {
			t.Fatal(err)
		}
		want := []string{"airport = 'IAH' AND NOT flying AND time = 830", "airport = 'IAH' AND flying AND day = '2013-01-02'"}[i]
		if n := number(t, p.db.DB, "SELECT count(*) FROM positions WHERE name = 'N14228' AND "+want); n != 1 {
			t.Errorf("after batch %d it is not where %s", i+1, want)
		}
	}
}
