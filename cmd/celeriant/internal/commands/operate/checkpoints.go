package operate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/node"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/stores"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// NewCheckpoints returns the commands that look into a checkpoint store and move
// checkpoints between stores.
func NewCheckpoints() *cobra.Command {
	return cli.NewGroup("checkpoints", "List, show, export, import, repartition and delete stored positions",
		newCheckpointsList(), newCheckpointsShow(), newCheckpointsExport(), newCheckpointsImport(), newCheckpointsRepartition(), newCheckpointsDelete())
}

// storeCommand makes a command that works on one store.
func storeCommand(c *cobra.Command, named bool, work func(c *cobra.Command, store checkpoint.RecordStore, name string, asJSON bool) error) *cobra.Command {
	var place, name string
	var asJSON bool
	var nodes node.Security // of a place of the kind log
	stores.BindPlace(c, &place)
	nodes.Bind(c)
	cli.FromEnvironment(c, node.SecurityFlags...)
	if named {
		c.Flags().StringVar(&name, "name", "", "name of the position")
		cli.CompleteNothing(c, "name")
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) (err error) {
		if place == "" {
			return cli.Usagef("--checkpoint is required")
		}
		if err := stores.CheckPlace(place); err != nil {
			return err
		}
		if named {
			if name == "" {
				return cli.Usagef("--name is required")
			}
			if err := checkpoint.CheckName(name); err != nil {
				return cli.Usagef("%w", err)
			}
		}
		opts := pool.Options{RequestTimeout: node.Patience}
		if err := nodes.Apply(&opts); err != nil {
			return err
		}
		store, err := stores.OpenStore(c.Context(), place, opts)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, store.Close()) }()
		return work(c, store, name, asJSON)
	}
	return c
}

// listedCheckpoint is one line of "checkpoints list", and what "show" begins with.
type listedCheckpoint struct {
	Name    string `json:"name"`
	Scope   string `json:"scope"`
	Epoch   uint64 `json:"epoch"`
	Cursors int    `json:"cursors"`
	Deleted int    `json:"deleted"` // cursors of aggregates that were deleted
	Records int    `json:"records"`
}

func summary(ctx context.Context, store checkpoint.RecordStore, name string) (listedCheckpoint, error) {
	o, err := store.Describe(ctx, name)
	if err != nil {
		return listedCheckpoint{}, err
	}
	if !o.Claimed {
		return listedCheckpoint{}, fmt.Errorf("there is no position named %q: %w", name, msg.ErrNotFound)
	}
	l := listedCheckpoint{Name: name, Scope: o.Scope, Epoch: o.Epoch}
	for entry, err := range store.Scan(ctx, name) {
		if err != nil {
			return listedCheckpoint{}, err
		}
		l.Cursors++
		if entry.Cursor.Deleted {
			l.Deleted++
		}
	}
	records, _, err := store.Records(ctx, name, "")
	l.Records = len(records)
	return l, err
}

func newCheckpointsList() *cobra.Command {
	return storeCommand(&cobra.Command{
		Use:     "list",
		Short:   "List the names in a checkpoint store",
		Example: "  celeriant checkpoints list --checkpoint sqlite:app.db",
		Args:    cli.NoArgs,
	}, false, func(c *cobra.Command, store checkpoint.RecordStore, _ string, asJSON bool) error {
		out := json.NewEncoder(c.OutOrStdout())
		for name, err := range store.Names(c.Context()) {
			if err != nil {
				return err
			}
			l, err := summary(c.Context(), store, name)
			if errors.Is(err, msg.ErrNotFound) {
				continue // deleted since
			}
			if err != nil {
				return err
			}
			if asJSON {
				err = out.Encode(l)
			} else {
				_, err = fmt.Fprintf(c.OutOrStdout(), "%s  %d aggregates  %s\n", l.Name, l.Cursors, cli.Shorten(l.Scope, 60))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func newCheckpointsShow() *cobra.Command {
	return storeCommand(&cobra.Command{
		Use:   "show",
		Short: "Show one position: its scope, its cursors, and what processes noted beside them",
		Args:  cli.NoArgs,
	}, true, func(c *cobra.Command, store checkpoint.RecordStore, name string, asJSON bool) error {
		l, err := summary(c.Context(), store, name)
		if err != nil {
			return err
		}
		records, _, err := store.Records(c.Context(), name, "")
		if err != nil {
			return err
		}
		if asJSON {
			type record struct {
				Key      string          `json:"key"`
				Revision uint64          `json:"revision"`
				Value    json.RawMessage `json:"value"`
			}
			shown := struct {
				listedCheckpoint
				Records []record `json:"records"`
			}{listedCheckpoint: l, Records: []record{}}
			for _, r := range records {
				shown.Records = append(shown.Records, record{r.Key, r.Revision, r.Value})
			}
			return json.NewEncoder(c.OutOrStdout()).Encode(shown)
		}
		out := bufio.NewWriter(c.OutOrStdout())
		fmt.Fprintf(out, "name        %s\nscope       %s\nclaims      %d\naggregates  %d, %d of them deleted\n", l.Name, l.Scope, l.Epoch, l.Cursors, l.Deleted)
		for _, r := range records {
			fmt.Fprintf(out, "record      %s  %s\n", r.Key, r.Value)
		}
		return out.Flush()
	})
}

// exportedHead is the first line of an export; exportedCursor each further one.
type exportedHead struct {
	Name  string `json:"name"`
	Scope string `json:"scope"`
}

type exportedCursor struct {
	Org       msg.ID            `json:"org"`
	Type      msg.ID            `json:"type"`
	Aggregate msg.ID            `json:"aggregate"`
	Cursor    checkpoint.Cursor `json:"cursor"`
}

func newCheckpointsExport() *cobra.Command {
	return storeCommand(&cobra.Command{
		Use:   "export",
		Short: "Print the cursors of one position as JSON lines",
		Long: `Print the cursors of one position as JSON lines, for "checkpoints import" into this
store or another one: first {"name","scope"}, then {"org","type","aggregate","cursor"}
for each aggregate. Cursors that move meanwhile are printed as they were or as they are.`,
		Example: "  celeriant checkpoints export --checkpoint sqlite:app.db --name orders > orders.jsonl",
		Args:    cli.NoArgs,
	}, true, func(c *cobra.Command, store checkpoint.RecordStore, name string, _ bool) error {
		o, err := store.Describe(c.Context(), name)
		if err != nil {
			return err
		}
		if !o.Claimed {
			return fmt.Errorf("there is no position named %q: %w", name, msg.ErrNotFound)
		}
		buffer := bufio.NewWriter(c.OutOrStdout())
		out := json.NewEncoder(buffer)
		if err := out.Encode(exportedHead{Name: name, Scope: o.Scope}); err != nil {
			return err
		}
		for entry, err := range store.Scan(c.Context(), name) {
			if err != nil {
				return err
			}
			line := exportedCursor{Org: entry.Key.Org, Type: entry.Key.Type, Aggregate: entry.Key.Aggregate, Cursor: entry.Cursor}
			if err := out.Encode(line); err != nil {
				return err
			}
		}
		return buffer.Flush()
	})
}

func newCheckpointsImport() *cobra.Command {
	var adopt bool
	var files []string
	c := storeCommand(&cobra.Command{
		Use:   "import",
		Short: "Store the cursors that export printed, from files or from standard input",
		Long: `Store the cursors that export printed, from files or from standard input, under one
name, which may exist. Of each aggregate the furthest cursor stays, so that several
exports can be merged into one name and an import can be repeated. A process that
consumes under this name meanwhile is fenced and ends: stop it before.`,
		Example: "  celeriant checkpoints import --checkpoint postgres:\"$DSN\" --name orders --file share0.jsonl --file share1.jsonl",
		Args:    cli.NoArgs,
	}, true, func(c *cobra.Command, store checkpoint.RecordStore, name string, asJSON bool) error {
		i := importing{store: store, name: name, adopt: adopt}
		if len(files) == 0 {
			if err := i.read(c.Context(), "standard input", c.InOrStdin()); err != nil {
				return err
			}
		}
		for _, file := range files {
			if err := i.readFile(c.Context(), file); err != nil {
				return err
			}
		}
		if asJSON {
			return json.NewEncoder(c.OutOrStdout()).Encode(map[string]any{"name": name, "imported": i.stored, "kept": i.kept})
		}
		_, err := fmt.Fprintf(c.OutOrStdout(), "imported %d cursors into %s; %d aggregates were as far already\n", i.stored, name, i.kept)
		return err
	})
	c.Flags().StringArrayVar(&files, "file", nil, "file that export printed, repeatable (default: standard input)")
	c.Flags().BoolVar(&adopt, "adopt-scope", false, "replace the scope that is stored under the name by that of the export")
	return c
}

// importing stores exported cursors under one name.
type importing struct {
	store        checkpoint.RecordStore
	name         string
	adopt        bool
	owner        msg.Opt[checkpoint.Owner]
	scope        string
	stored, kept int
}

// importAtOnce is how many cursors one save stores.
const importAtOnce = 512

func (i *importing) readFile(ctx context.Context, name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	return i.read(ctx, name, file)
}

func (i *importing) read(ctx context.Context, from string, in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 64<<10), 2*checkpoint.MaxScope)
	var entries []checkpoint.Entry
	number := 0
	for lines.Scan() {
		number++
		if err := i.line(ctx, number, lines.Bytes(), &entries); err != nil {
			return fmt.Errorf("%s, line %d: %w", from, number, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s, after line %d: %w", from, number, err)
	}
	if number == 0 {
		return fmt.Errorf("%s is empty, want what export printed", from)
	}
	return i.save(ctx, entries)
}

func (i *importing) line(ctx context.Context, number int, text []byte, entries *[]checkpoint.Entry) error {
	if number == 1 {
		var head exportedHead
		if err := strictly(text, &head); err != nil {
			return err
		}
		return i.claim(ctx, head)
	}
	var line exportedCursor
	if err := strictly(text, &line); err != nil {
		return err
	}
	*entries = append(*entries, checkpoint.Entry{Key: msg.Key{Org: line.Org, Type: line.Type, Aggregate: line.Aggregate}, Cursor: line.Cursor})
	if len(*entries) < importAtOnce {
		return nil
	}
	err := i.save(ctx, *entries)
	*entries = (*entries)[:0]
	return err
}

// claim takes the name, with the scope of the first export.
func (i *importing) claim(ctx context.Context, head exportedHead) error {
	if i.owner.Set {
		if head.Scope != i.scope {
			return fmt.Errorf("this export follows %q, the one before %q", cli.Shorten(head.Scope, 100), cli.Shorten(i.scope, 100))
		}
		return nil
	}
	owner, err := i.store.Acquire(ctx, checkpoint.Claim{Name: i.name, Scope: head.Scope, Adopt: i.adopt})
	if err != nil {
		return err
	}
	i.owner, i.scope = msg.Some(owner), head.Scope
	return nil
}

// save stores the cursors that lie further than what is stored.
func (i *importing) save(ctx context.Context, entries []checkpoint.Entry) error {
	keys := make([]msg.Key, len(entries))
	for n := range entries {
		keys[n] = entries[n].Key
	}
	stored, err := i.store.Load(ctx, i.name, keys)
	if err != nil {
		return err
	}
	further := entries[:0]
	for n := range entries {
		if entries[n].Cursor.Compare(stored[n]) > 0 {
			further = append(further, entries[n])
		}
	}
	i.stored, i.kept = i.stored+len(further), i.kept+len(keys)-len(further)
	return i.store.Save(ctx, i.owner.Value, further)
}

// strictly reads one JSON object with known fields only.
func strictly(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

func newCheckpointsDelete() *cobra.Command {
	var sure bool
	c := storeCommand(&cobra.Command{
		Use:   "delete",
		Short: "Delete one position, with its cursors and all that processes noted beside them",
		Long: `Delete one position. Processes that consume under this name end, and a later one starts
from the beginning. This cannot be undone: export it before.`,
		Args: cli.NoArgs,
	}, true, func(c *cobra.Command, store checkpoint.RecordStore, name string, _ bool) error {
		if !sure {
			return cli.Usagef("deleting %q lets its consumers start from the beginning; add --yes", name)
		}
		if _, err := summary(c.Context(), store, name); err != nil {
			return err
		}
		return store.Delete(c.Context(), name)
	})
	c.Flags().BoolVar(&sure, "yes", false, "delete it")
	return c
}
