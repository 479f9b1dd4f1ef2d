package main

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
)

// BenchmarkProject builds the table from the history, beside a bare loop that makes the
// same statements in transactions of as many changes.
func BenchmarkProject(b *testing.B) {
	const aggregates, batches, slice = 200, 50, 512
	node, err := celerianttest.Start(celerianttest.Options{DataRoot: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer node.Close()
	client, err := celeriant.Connect(node.Addr())
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close(context.Background())
	for n := range uint64(aggregates * batches) {
		item, err := orderEvents.New(ItemAdded{Item: "book", Cents: 1})
		if err != nil {
			b.Fatal(err)
		}
		item.ClientSeq = n + 1
		key := msg.Key{Org: org, Type: orderType, Aggregate: msg.IDFromUint64(n % aggregates)}
		if _, err := client.WriteEvents(b.Context(), key, []msg.Event{item}, writerID); err != nil {
			b.Fatal(err)
		}
	}
	done := errors.New("all is applied")
	watch := func(p *projection) *celeriant.Observable {
		return client.Watch(celeriant.Types(org, orderType), celeriant.WithName(p.name), celeriant.WithCheckpoints(p.store))
	}
	ways := map[string]func(ctx context.Context, p *projection, apply func(context.Context, *sql.Tx, []celeriant.Change) error) error{
		"project": func(ctx context.Context, p *projection, apply func(context.Context, *sql.Tx, []celeriant.Change) error) error {
			return operators.Project(ctx, watch(p), p.db, apply)
		},
		"bare": func(ctx context.Context, p *projection, apply func(context.Context, *sql.Tx, []celeriant.Change) error) error {
			sub, err := watch(p).Subscribe(ctx)
			if err != nil {
				return err
			}
			defer sub.Close(context.Background())
			var waiting []celeriant.Change
			for {
				for len(waiting) == 0 || len(waiting) < slice && waiting[len(waiting)-1].Kind != celeriant.CaughtUp {
					more, err := sub.Next(ctx)
					if err != nil {
						return err
					}
					waiting = append(waiting, more...)
				}
				changes := waiting[:min(len(waiting), slice)]
				waiting = waiting[len(changes):]
				entries := stream.Entries(changes)
				tx, err := p.db.BeginTx(ctx, nil)
				if err != nil {
					return err
				}
				if err = p.store.SaveTx(ctx, tx, sub.Owner(), entries); err == nil {
					err = apply(ctx, tx, changes)
				}
				if err != nil {
					return errors.Join(err, tx.Rollback())
				}
				if err := tx.Commit(); err != nil {
					return err
				}
				sub.Committed(entries)
			}
		},
	}
	took, transactions := make(map[string]time.Duration), make(map[string]int)
	for range b.N {
		for name, run := range ways {
			p, err := open(b.Context(), b.TempDir(), 1)
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancelCause(b.Context())
			var applied atomic.Int64
			began := time.Now()
			err = run(ctx, p, func(ctx context.Context, tx *sql.Tx, changes []celeriant.Change) error {
				transactions[name]++
				for _, c := range changes {
					if c.Kind == celeriant.Batch && applied.Add(1) == aggregates*batches {
						time.AfterFunc(0, func() { cancel(done) })
					}
				}
				return p.apply(ctx, tx, changes)
			})
			took[name] += time.Since(began)
			if applied.Load() != aggregates*batches {
				b.Fatalf("%s applied %d: %v", name, applied.Load(), err)
			}
			_ = p.db.Close()
		}
	}
	total := float64(b.N * aggregates * batches)
	for name, d := range took {
		b.ReportMetric(total/d.Seconds(), name+"-changes/s")
		b.ReportMetric(total/float64(transactions[name]), name+"-changes/transaction")
	}
	b.ReportMetric(took["bare"].Seconds()/took["project"].Seconds(), "of-bare")
}
