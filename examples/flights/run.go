package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/celerianttest"
)

type config struct {
	dir, address, data string
	json, ledger       bool
	writers, rate      int

	out, diagnostics io.Writer

	// For tests: what to do with the node once it runs, and with the client;
	// more settings of the database; another limit than databasePatience.
	onStart  func(*celerianttest.Node, *celeriant.Client, *goal)
	pragmas  []string
	patience time.Duration
}

const (
	// connectTime is how long a server may take to answer the first question.
	connectTime = 2 * time.Second
	// closeTime is how long the end of everything may take.
	closeTime = 10 * time.Second
)

// errDone ends the projection when everything is applied.
var errDone = errors.New("everything is applied")

// run does what the program does, and prints the totals.
func run(ctx context.Context, cfg config) (err error) {
	flights, err := readFlights(cfg.data)
	if err != nil {
		return err
	}
	batches, err := plan(flights)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(cfg.dir, 0o755); err != nil {
		return fmt.Errorf("making the folder of --dir: %w", err)
	}
	db, err := openDatabase(ctx, cfg.dir, cfg.pragmas...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	resumed, err := hasCursors(ctx, db)
	if err != nil {
		return err
	}
	address, node, err := server(cfg)
	if err != nil {
		return err
	}
	if node != nil {
		defer func() { err = errors.Join(err, node.Close()) }()
	}
	client, err := connect(ctx, address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeClient(ctx, client)) }()

	g := newGoal(db.store)
	if cfg.onStart != nil {
		cfg.onStart(node, client, g)
	}
	where := "a node of its own"
	if node == nil {
		where = address
	}
	fmt.Fprintf(cfg.diagnostics, "%d flights into %s, read model and data in %s\n", len(flights), where, cfg.dir)
	p := &projection{db: db, goal: g, ledger: cfg.ledger, patience: cmp.Or(cfg.patience, databasePatience)}
	if err := workUntilDone(ctx, cfg, client, p, batches, len(flights)); err != nil {
		return err
	}
	return report(ctx, cfg, db, p.counted, resumed)
}

// workUntilDone writes and projects at the same time. The first of them that
// fails ends both.
func workUntilDone(ctx context.Context, cfg config, client *celeriant.Client, p *projection, batches []*batch, flights int) error {
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var atWork sync.WaitGroup
	atWork.Go(func() { cancel(p.run(work, client)) })
	atWork.Go(func() {
		producer, err := newProducer(client.Pool(), cfg.rate, p.goal.wrote)
		if err == nil {
			err = producer.run(work, batches, cfg.writers)
		}
		if err != nil {
			cancel(err)
			return
		}
		p.goal.everythingWritten()
	})
	atWork.Go(func() { showProgress(work, cfg.diagnostics, p.goal, flights) })
	select {
	case <-p.goal.done:
		cancel(errDone)
	case <-work.Done():
	}
	atWork.Wait()
	if cause := context.Cause(work); !errors.Is(cause, errDone) {
		return cause
	}
	return nil
}

// server returns the address to use, and the node that was started if none was
// given.
func server(cfg config) (string, *celerianttest.Node, error) {
	if cfg.address != "" {
		return cfg.address, nil, nil
	}
	node, err := celerianttest.Start(celerianttest.Options{Shards: 2, DataRoot: filepath.Join(cfg.dir, "node")})
	if err != nil {
		return "", nil, fmt.Errorf("starting a node: %w", err)
	}
	return node.Addr(), node, nil
}

// connect makes a client and sees whether the server is there.
func connect(ctx context.Context, address string) (*celeriant.Client, error) {
	client, err := celeriant.Connect(address, celeriant.WithConnectTimeout(connectTime))
	if err != nil {
		return nil, err
	}
	asking, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	if _, err := client.Pool().Shards(asking); err != nil {
		return nil, errors.Join(fmt.Errorf("no server at %s: %w", address, err), closeClient(ctx, client))
	}
	return client, nil
}

func closeClient(ctx context.Context, client *celeriant.Client) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	return client.Close(ctx)
}

// hasCursors reports whether an earlier run has applied anything.
func hasCursors(ctx context.Context, db *database) (bool, error) {
	for _, err := range db.store.Scan(ctx, subscription) {
		if err != nil {
			return false, explain(db.path, err)
		}
		return true, nil
	}
	return false, nil
}
