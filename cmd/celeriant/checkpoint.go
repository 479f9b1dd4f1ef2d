package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/stream"
)

// checkpointFlags say where positions are kept.
type checkpointFlags struct {
	place, name string
	adopt       bool
}

func bindCheckpoint(c *cobra.Command) *checkpointFlags {
	f := new(checkpointFlags)
	flags := c.Flags()
	flags.StringVar(&f.place, "checkpoint", "", "keep the position in file:FOLDER or sqlite:FILE, and continue from there")
	flags.StringVar(&f.name, "name", "", "name of the position among others in the same place (default: what is followed)")
	flags.BoolVar(&f.adopt, "adopt-scope", false, "continue a position that was made following something else")
	completeNothing(c, "name")
	cobra.CheckErr(c.RegisterFlagCompletionFunc("checkpoint",
		cobra.FixedCompletions([]string{"file:", "sqlite:"}, cobra.ShellCompDirectiveNoSpace|cobra.ShellCompDirectiveNoFileComp)))
	return f
}

// check refuses what makes no sense, before anything is opened.
func (f *checkpointFlags) check() error {
	kind, path, _ := strings.Cut(f.place, ":")
	switch {
	case f.place == "" && f.name != "":
		return usagef("--name needs --checkpoint")
	case f.place == "" && f.adopt:
		return usagef("--adopt-scope needs --checkpoint")
	case f.place == "":
		return nil
	case kind != "file" && kind != "sqlite" || path == "":
		return usagef("--checkpoint is %q, want file:FOLDER or sqlite:FILE", f.place)
	case f.name == "":
		return nil
	}
	if err := checkpoint.CheckName(f.name); err != nil {
		return &usageError{err}
	}
	return nil
}

// open opens the store; without one that was asked for, one that forgets.
func (f *checkpointFlags) open(ctx context.Context) (checkpoint.Store, error) {
	kind, path, _ := strings.Cut(f.place, ":")
	switch kind {
	case "file":
		return checkpoint.OpenFile(ctx, path, checkpoint.FileOptions{})
	case "sqlite":
		return openSQLite(ctx, path)
	}
	return checkpoint.NewMemory(), nil
}

// database is a store that closes its database, too.
type database struct {
	*sqlstore.Store
	db *sql.DB
}

func (d *database) Close() error { return errors.Join(d.Store.Close(), d.db.Close()) }

func openSQLite(ctx context.Context, path string) (checkpoint.Store, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	// Transactions lock at their beginning; a save that returned survives a
	// power cut.
	query := url.Values{"_txlock": {"immediate"}, "_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)"}}
	source := url.URL{Scheme: "file", Path: filepath.ToSlash(absolute), RawQuery: query.Encode()}
	db, err := sql.Open("sqlite", source.String())
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	store, err := sqlstore.Open(ctx, db, sqlstore.SQLite, sqlstore.Options{})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", path, err), db.Close())
	}
	return &database{store, db}, nil
}

// nameFor is the name that a position of the scope is kept under.
func (f *checkpointFlags) nameFor(scope stream.Scope) string {
	if f.name != "" {
		return f.name
	}
	text := scope.String()
	if len(text) <= checkpoint.MaxName {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return "sha256 " + hex.EncodeToString(sum[:])
}
