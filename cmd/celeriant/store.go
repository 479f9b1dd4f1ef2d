package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/spf13/cobra"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/internal/platform"
)

// places are the kinds of stores that --checkpoint names, and what follows the colon.
var places = []struct{ kind, what string }{
	{"file", "FOLDER"}, {"sqlite", "FILE"}, {"postgres", "DSN"},
}

// placeForms lists the places in the words of a help text or an error.
func placeForms() string {
	forms := make([]string, len(places))
	for i, p := range places {
		forms[i] = p.kind + ":" + p.what
	}
	return strings.Join(forms[:len(forms)-1], ", ") + " or " + forms[len(forms)-1]
}

func bindPlace(c *cobra.Command, place *string) {
	c.Flags().StringVar(place, "checkpoint", "", "where positions are kept: "+placeForms())
	fromEnvironment(c, "checkpoint")
	completePlace(c)
}

func completePlace(c *cobra.Command) {
	kinds := make([]string, len(places))
	for i, p := range places {
		kinds[i] = p.kind + ":"
	}
	cobra.CheckErr(c.RegisterFlagCompletionFunc("checkpoint",
		cobra.FixedCompletions(kinds, cobra.ShellCompDirectiveNoSpace|cobra.ShellCompDirectiveNoFileComp)))
}

// checkPlace refuses what names no store, before anything is opened. A DSN can hold a
// password, so that the error shows the kind alone.
func checkPlace(place string) error {
	kind, rest, _ := strings.Cut(place, ":")
	known := slices.ContainsFunc(places, func(p struct{ kind, what string }) bool { return p.kind == kind })
	switch {
	case !known:
		return usagef("--checkpoint is of the kind %q, want %s", shorten(kind, 40), placeForms())
	case rest == "":
		return usagef("--checkpoint names nothing behind %s:, want %s", kind, placeForms())
	}
	return nil
}

// openStore opens the store of a place that checkPlace let pass.
func openStore(ctx context.Context, place string) (checkpoint.RecordStore, error) {
	kind, rest, _ := strings.Cut(place, ":")
	switch kind {
	case "sqlite":
		return openSQLite(ctx, rest)
	case "postgres":
		return openPostgres(ctx, rest)
	}
	return checkpoint.OpenFile(ctx, rest, checkpoint.FileOptions{})
}

// database is a store that closes its database, too.
type database struct {
	*sqlstore.Store
	db *sql.DB
}

func (d *database) Close() error { return errors.Join(d.Store.Close(), d.db.Close()) }

func openSQLite(ctx context.Context, path string) (*database, error) {
	// Transactions lock at their beginning; a save that returned survives a
	// power cut.
	query := url.Values{"_txlock": {"immediate"}, "_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)"}}
	source, err := platform.SQLiteURI(path, query)
	if err != nil {
		return nil, err
	}
	return openDatabase(ctx, "sqlite", source, path, sqlstore.SQLite)
}

func openPostgres(ctx context.Context, dsn string) (*database, error) {
	return openDatabase(ctx, "pgx", dsn, "the PostgreSQL database", sqlstore.Postgres)
}

func openDatabase(ctx context.Context, driver, source, what string, dialect sqlstore.Dialect) (*database, error) {
	db, err := sql.Open(driver, source)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", what, err)
	}
	store, err := sqlstore.Open(ctx, db, dialect, sqlstore.Options{})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", what, err), db.Close())
	}
	return &database{store, db}, nil
}
