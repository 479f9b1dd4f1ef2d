package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

const (
	subscription = "flights"
	// lateBy is when an arrival counts as late, in minutes.
	lateBy = 60
	// databasePatience is for how long a busy database is tried again, unless a test sets another limit.
	databasePatience = 15 * time.Second
)

// projection follows all aircraft and keeps the read model.
type projection struct {
	db     *database
	goal   *goal
	ledger bool
	// patience is for how long a busy database is tried again.
	patience time.Duration

	// The effects of the transaction at work, which count once it has
	// committed.
	pending []stream.Change
	// counted is what this run has committed.
	counted operators.Progress
}

func (p *projection) run(ctx context.Context, client *celeriant.Client) error {
	aircraft := client.Watch(celeriant.Types(airTraffic, aircraftType),
		celeriant.WithName(subscription), celeriant.WithCheckpoints(p.db.store))
	// Somebody watches this program: what does not pass by itself ends it at once, and
	// the next run goes on from there.
	projecting, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var failed error
	err := operators.Project(projecting, aircraft, p.db.DB, p.apply,
		operators.WithRetryLimit(p.patience),
		operators.WithVerdicts(func(f operators.Failure) operators.Verdict {
			if !f.Passing {
				fail(f.Err)
			}
			return operators.Retry
		}),
		operators.WithProgress(func(progress operators.Progress) {
			p.counted = progress
			if err := p.goal.applied(ctx, p.pending, progress); err != nil {
				failed = err
			}
		}))
	if failed != nil {
		err = failed
	}
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return err
	}
	return fmt.Errorf("projecting: %w", explain(p.db.path, err))
}

// apply changes the read model inside the transaction that stores the cursors.
func (p *projection) apply(ctx context.Context, tx *sql.Tx, changes []stream.Change) error {
	m := model{ctx: ctx, tx: tx}
	for i := range changes {
		if err := p.applyOne(&m, &changes[i]); err != nil {
			return operators.At(changes[i], fmt.Errorf("%v: %w", &changes[i], err))
		}
	}
	p.pending = changes
	return nil
}

func (p *projection) applyOne(m *model, c *stream.Change) error {
	switch c.Kind {
	case stream.Batch:
		return p.applyBatch(m, c)
	case stream.Deleted, stream.Reset:
		return m.forget(c)
	case stream.Truncated:
		return m.exec("INSERT INTO gaps VALUES (?, ?, ?)", c.Key.Aggregate[:], int64(c.From), int64(c.To))
	case stream.Unreadable:
		return fmt.Errorf("the node cannot deliver batch %d", c.Version)
	}
	return nil
}

func (p *projection) applyBatch(m *model, c *stream.Change) error {
	decoded, err := operators.DecodeChange(flightEvents, *c)
	if err != nil {
		return err
	}
	for i := range decoded {
		if err := m.event(&decoded[i]); err != nil {
			return err
		}
	}
	if !p.ledger {
		return nil
	}
	return m.exec("INSERT INTO ledger VALUES (?, ?, ?, ?)", c.Key.Aggregate[:],
		int64(c.Cursor.Life), int64(c.Batch.Version), int64(c.Cursor.Anchor.Hash))
}

// model is the read model inside one transaction.
type model struct {
	ctx context.Context
	tx  *sql.Tx
}

func (m *model) exec(statement string, args ...any) error {
	_, err := m.tx.ExecContext(m.ctx, statement, args...)
	return err
}

// event applies one event. Events of unknown types are ignored.
func (m *model) event(e *operators.Event) error {
	aircraft := e.Key.Aggregate[:]
	switch v := e.Value.(type) {
	case FlightDeparted:
		err := m.exec("INSERT INTO departures VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET flights = flights + 1",
			aircraft, v.Origin, v.Time/100%24)
		return errors.Join(err, m.position(aircraft, &v.Flight, v.Origin, true, v.Time))
	case FlightArrived:
		err := m.position(aircraft, &v.Flight, v.Dest, false, v.Time)
		if v.Delay == nil || *v.Delay < lateBy {
			return err
		}
		return errors.Join(err, m.exec("INSERT INTO late VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET flights = flights + 1", aircraft, v.Carrier))
	case FlightCancelled:
		return m.exec("INSERT INTO cancelled VALUES (?, 1) ON CONFLICT DO UPDATE SET flights = flights + 1", aircraft)
	}
	return nil
}

func (m *model) position(aircraft []byte, f *Flight, airport string, flying bool, at int) error {
	return m.exec("INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?, ?, ?)", aircraft, f.Aircraft, airport, flying, f.Day, at)
}

// forget takes back what was built of an aircraft whose history ended.
func (m *model) forget(c *stream.Change) error {
	for _, table := range []string{"departures", "late", "cancelled", "positions", "gaps"} {
		if err := m.exec("DELETE FROM "+table+" WHERE aircraft = ?", c.Key.Aggregate[:]); err != nil {
			return err
		}
	}
	return nil
}
