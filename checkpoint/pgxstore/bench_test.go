//go:build postgres

package pgxstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/pgxstore"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/stream"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

var benchWriter = msg.IDFromUint64(7)

func benchKey(n int) msg.Key {
	return msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(uint64(n))}
}

// benchClient is of a node with so many batches of so many aggregates.
func benchClient(b *testing.B, aggregates, batches int) *celeriant.Client {
	b.Helper()
	node, err := celerianttest.Start(celerianttest.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = node.Close() })
	client, err := celeriant.Connect(node.Addr())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = client.Close(context.Background()) })
	for n := range aggregates * batches {
		write(b, client, n%aggregates, uint64(n+1))
	}
	return client
}

func write(b *testing.B, client *celeriant.Client, aggregate int, seq uint64) uint64 {
	event := msg.Event{ClientSeq: seq, Major: 1, Value: []byte("book")}
	version, err := client.WriteEvents(b.Context(), benchKey(aggregate), []msg.Event{event}, benchWriter)
	if err != nil {
		b.Fatal(err)
	}
	return version
}

// count adds to a row for each batch, as projections do, one statement each.
func count(ctx context.Context, tx pgx.Tx, changes []stream.Change) error {
	for _, c := range changes {
		if c.Kind != stream.Batch {
			continue
		}
		_, err := tx.Exec(ctx, "INSERT INTO orders VALUES ($1, 1) ON CONFLICT (id) DO UPDATE SET items = orders.items + 1", c.Key.Aggregate[:])
		if err != nil {
			return err
		}
	}
	return nil
}

func benchTable(b *testing.B, pool *pgxpool.Pool) {
	b.Helper()
	if _, err := pool.Exec(b.Context(), "CREATE TABLE orders (id BYTEA PRIMARY KEY, items BIGINT NOT NULL)"); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkProject builds a table with ProjectIn, by one worker and by several, and by a bare
// loop with the same statements and saves in transactions of as many changes, one after another.
func BenchmarkProject(b *testing.B) {
	const aggregates, batches, slice = 200, 20, 512
	client := benchClient(b, aggregates, batches)
	done := errors.New("all is applied")
	run := func(b *testing.B, name string, project func(ctx context.Context, s *pgxstore.Store, pool *pgxpool.Pool, orders *celeriant.Observable, apply func(context.Context, pgx.Tx, []stream.Change) error) error) {
		b.Run(name, func(b *testing.B) {
			var took time.Duration
			var transactions atomic.Int64
			for range b.N {
				pool := schema(b)()
				benchTable(b, pool)
				store := open(b, pool)
				orders := client.Watch(celeriant.Types(benchKey(0).Org, benchKey(0).Type), celeriant.WithName("orders"), celeriant.WithCheckpoints(store))
				ctx, cancel := context.WithCancelCause(b.Context())
				var applied atomic.Int64
				began := time.Now()
				err := project(ctx, store, pool, orders, func(ctx context.Context, tx pgx.Tx, changes []stream.Change) error {
					err := count(ctx, tx, changes)
					transactions.Add(1)
					for _, c := range changes {
						if c.Kind == stream.Batch && applied.Add(1) == aggregates*batches {
							time.AfterFunc(0, func() { cancel(done) })
						}
					}
					return err
				})
				took += time.Since(began)
				if applied.Load() != aggregates*batches {
					b.Fatalf("applied %d: %v", applied.Load(), err)
				}
			}
			changes := float64(b.N * aggregates * batches)
			b.ReportMetric(changes/took.Seconds(), "changes/s")
			b.ReportMetric(changes/float64(transactions.Load()), "changes/transaction")
		})
	}
	run(b, "bare", func(ctx context.Context, s *pgxstore.Store, pool *pgxpool.Pool, orders *celeriant.Observable, apply func(context.Context, pgx.Tx, []stream.Change) error) error {
		sub, err := orders.Subscribe(ctx)
		if err != nil {
			return err
		}
		defer sub.Close(context.Background())
		var waiting []stream.Change
		for {
			for len(waiting) == 0 || len(waiting) < slice && waiting[len(waiting)-1].Kind != stream.CaughtUp {
				more, err := sub.Next(ctx)
				if err != nil {
					return err
				}
				waiting = append(waiting, more...)
			}
			changes := waiting[:min(len(waiting), slice)]
			waiting = waiting[len(changes):]
			entries := stream.Entries(changes)
			err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
				return errors.Join(s.SaveTx(ctx, tx, sub.Owner(), entries), apply(ctx, tx, changes))
			})
			if err != nil {
				return err
			}
			sub.Committed(entries)
		}
	})
	for _, workers := range []int{1, 2, 4} {
		run(b, fmt.Sprintf("workers=%d", workers), func(ctx context.Context, s *pgxstore.Store, _ *pgxpool.Pool, orders *celeriant.Observable, apply func(context.Context, pgx.Tx, []stream.Change) error) error {
			return operators.ProjectIn(ctx, orders, s, apply, operators.WithWorkers(workers))
		})
	}
}

// BenchmarkFence is a transaction with effects and cursors under the claim of one of 64 partitions,
// four at a time, beside one with the same statements but those of the fence.
func BenchmarkFence(b *testing.B) {
	for _, changes := range []int{1, 16, 128} {
		b.Run(fmt.Sprintf("changes=%d", changes), func(b *testing.B) { benchFence(b, changes) })
	}
}

func benchFence(b *testing.B, changes int) {
	const partitions, atOnce = 64, 4
	pool := schema(b)()
	benchTable(b, pool)
	store := open(b, pool)
	put := unfenced(changes)
	owners := claimAll(b, store, partitions)
	effects := func(ctx context.Context, tx pgx.Tx, first int) error {
		batch := &pgx.Batch{}
		for n := first; n < first+changes; n++ {
			key := benchKey(n).Aggregate
			batch.Queue("INSERT INTO orders VALUES ($1, 1) ON CONFLICT (id) DO UPDATE SET items = orders.items + 1", key[:])
		}
		return tx.SendBatch(ctx, batch).Close()
	}
	ways := map[string]func(ctx context.Context, partition int, version uint64) error{
		"fenced": func(ctx context.Context, partition int, version uint64) error {
			entries := make([]checkpoint.Entry, changes)
			for i := range entries {
				entries[i] = checkpoint.Entry{Key: benchKey(partition*changes + i), Cursor: checkpoint.Cursor{Version: version}}
			}
			return store.Transact(ctx, owners[partition], entries, func(ctx context.Context, tx pgx.Tx) error { return effects(ctx, tx, partition*changes) })
		},
		"unfenced": func(ctx context.Context, partition int, version uint64) error {
			keys, args := make([]msg.Key, changes), []any{int64(1 << 40)}
			for i := range keys {
				keys[i] = benchKey(partition*changes + i)
				args = append(args, keys[i].Org[:], keys[i].Type[:], keys[i].Aggregate[:], int64(version))
			}
			return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
				_, looked := store.LoadTx(ctx, tx, "orders", keys)
				_, put := tx.Exec(ctx, put, args...)
				err := effects(ctx, tx, partition*changes)
				_, still := store.LoadTx(ctx, tx, "orders", keys[:1])
				return errors.Join(looked, put, err, still)
			})
		},
	}
	took := make(map[string]time.Duration)
	for i := range b.N {
		for name, transact := range ways {
			var group sync.WaitGroup
			began := time.Now()
			for worker := range atOnce {
				group.Go(func() {
					for p := worker; p < partitions; p += atOnce {
						if err := transact(b.Context(), p, uint64(i+1)); err != nil {
							b.Error(err)
						}
					}
				})
			}
			group.Wait()
			took[name] += time.Since(began)
		}
	}
	for name, d := range took {
		b.ReportMetric(float64(b.N*partitions)/d.Seconds(), name+"/s")
	}
	b.ReportMetric(took["unfenced"].Seconds()/took["fenced"].Seconds(), "of-unfenced")
}

// unfenced saves so many cursors as the store does.
func unfenced(cursors int) string {
	var rows []string
	for i := range cursors {
		rows = append(rows, fmt.Sprintf("($1::bigint, $%d::bytea, $%d::bytea, $%d::bytea, 0, $%d::bigint, false, 0, 0, ''::bytea, 0)", 4*i+2, 4*i+3, 4*i+4, 4*i+5))
	}
	return "INSERT INTO celeriant_cursors AS c VALUES " + strings.Join(rows, ", ") +
		" ON CONFLICT (subscription, org_id, type_id, aggregate_id) DO UPDATE SET version = excluded.version WHERE (c.life, c.version) < (excluded.life, excluded.version)"
}

// claimAll makes a claim of each partition.
func claimAll(b *testing.B, store *pgxstore.Store, partitions uint32) (owners []checkpoint.Owner) {
	b.Helper()
	if _, err := store.Acquire(b.Context(), checkpoint.Claim{Name: "orders", Scope: "all"}); err != nil {
		b.Fatal(err)
	}
	var claims checkpoint.Mutation
	for p := range partitions {
		owner := checkpoint.Owner{Name: "orders", Epoch: 1, Token: checkpoint.NewToken(), Leased: true, Partition: p}
		owners = append(owners, owner)
		value := fmt.Appendf(nil, `{"format":1,"epoch":1,"token":%q}`, owner.Token.String())
		claims.Records = append(claims.Records, checkpoint.RecordChange{Key: checkpoint.PartitionKey(p), Value: value})
	}
	if err := store.Apply(b.Context(), "orders", claims); err != nil {
		b.Fatal(err)
	}
	return owners
}

// BenchmarkAwait is what waiting for one's own write adds to the commit of its effect, where the
// projection has another pool of connections, as another process has.
func BenchmarkAwait(b *testing.B) {
	client := benchClient(b, 1, 1)
	connect := schema(b)
	theirs, ours := connect(), connect()
	benchTable(b, theirs)
	store, away := open(b, ours), open(b, theirs)
	var mu sync.Mutex
	committed := make(map[uint64]time.Time)
	orders := client.Watch(celeriant.Types(benchKey(0).Org, benchKey(0).Type), celeriant.WithName("orders"), celeriant.WithCheckpoints(away))
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- operators.ProjectIn(ctx, orders, away, count, operators.WithProgress(func(p operators.Progress) {
			mu.Lock()
			defer mu.Unlock()
			committed[uint64(p.Batches)] = time.Now()
		}))
	}()
	defer func() { cancel(); <-ended }()
	if err := client.Await(b.Context(), store, "orders", benchKey(0), 1); err != nil {
		b.Fatal(err)
	}
	behind := make([]time.Duration, b.N)
	b.ResetTimer()
	for i := range b.N {
		version := write(b, client, 0, uint64(i+2))
		if err := client.Await(b.Context(), store, "orders", benchKey(0), version); err != nil {
			b.Fatal(err)
		}
		back := time.Now()
		mu.Lock()
		if at, told := committed[version]; told { // otherwise it was back before that was told
			behind[i] = back.Sub(at)
		}
		mu.Unlock()
	}
	slices.Sort(behind)
	b.ReportMetric(float64(behind[len(behind)/2].Microseconds()), "p50-behind-µs")
	b.ReportMetric(float64(behind[len(behind)*99/100].Microseconds()), "p99-behind-µs")
}
