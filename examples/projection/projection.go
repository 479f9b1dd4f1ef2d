package main

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/celeriant/celeriant-go"
	"github.com/celeriant/celeriant-go/checkpoint/sqlstore"
	"github.com/celeriant/celeriant-go/events"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/pool/writer"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

var org, orderType, writerID = msg.IDFromUint64(1), msg.IDFromUint64(2), msg.IDFromUint64(3)

// ItemAdded is the event: something was added to an order.
type ItemAdded struct {
	Item  string `json:"item"`
	Cents int64  `json:"cents"`
}

// orderEvents gives Go types the numbers of event types, for writing and for reading.
var orderEvents = events.MustRegistry(events.JSON[ItemAdded](1, 0))

// projection is one version of the table. Positions are kept in its database, which
// makes it exactly once: a row and the position behind it are committed together, or neither is.
type projection struct {
	table, name, before string // before is the name of the version before, if any
	db                  *sql.DB
	store               *sqlstore.Store
}

// open opens SQLite as the store of positions needs it: transactions begin with their lock.
func open(ctx context.Context, dir string, version int) (*projection, error) {
	_ = os.MkdirAll(dir, 0o755) // without it the table cannot be made
	db, err := sql.Open("sqlite", dir+"/orders.db?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)")
	p := &projection{table: fmt.Sprintf("orders_%d", version), name: fmt.Sprintf("orders@%d", version), db: db}
	if version > 1 {
		p.before = fmt.Sprintf("orders@%d", version-1)
	}
	if err == nil {
		_, err = db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+p.table+" (id TEXT PRIMARY KEY, items INTEGER, cents INTEGER)")
	}
	if err == nil {
		p.store, err = sqlstore.Open(ctx, db, sqlstore.SQLite, sqlstore.Options{})
	}
	return p, err
}

// apply changes the table, inside the transaction that also stores the positions.
func (p *projection) apply(ctx context.Context, tx *sql.Tx, changes []celeriant.Change) error {
	for _, c := range changes {
		id := c.Key.Aggregate.String()
		decoded, err := operators.DecodeChange(orderEvents, c) // nothing, if c is no batch
		if c.Kind == celeriant.Deleted || c.Kind == celeriant.Reset {
			// The rows of this order are void. If it exists again, its events follow.
			_, err = tx.ExecContext(ctx, "DELETE FROM "+p.table+" WHERE id = ?", id)
		}
		for _, e := range decoded {
			// Adding is right because each batch is applied exactly once.
			if added, known := e.Value.(ItemAdded); known && err == nil {
				_, err = tx.ExecContext(ctx, "INSERT INTO "+p.table+` VALUES (?, 1, ?)
					ON CONFLICT (id) DO UPDATE SET items = items + 1, cents = cents + excluded.cents`, id, added.Cents)
			}
		}
		if err != nil {
			return operators.At(c, err) // names the change that failed
		}
	}
	return nil
}

// routes serves the table. A POST waits until the table shows what it has written.
func (p *projection) routes(client *celeriant.Client, commands *writer.Writer) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders", func(w http.ResponseWriter, r *http.Request) {
		all, query := "", "SELECT json_group_array(json_object('id', id, 'items', items, 'cents', cents)) FROM "+p.table
		if err := p.db.QueryRowContext(r.Context(), query).Scan(&all); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
		fmt.Fprintln(w, all)
	})
	mux.HandleFunc("POST /orders/{number}", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		var item ItemAdded
		number, err := strconv.ParseUint(r.PathValue("number"), 10, 64)
		if err != nil || json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&item) != nil {
			http.Error(w, `want POST /orders/NUMBER with {"item":"book","cents":1250}`, http.StatusBadRequest)
			return
		}
		// A command is applied once, however often a caller that lost the answer sends it.
		id := msg.IDFromName(orderType, cmp.Or(r.Header.Get("Idempotency-Key"), msg.NewID().String()))
		command := writer.Command{Key: msg.Key{Org: org, Type: orderType, Aggregate: msg.IDFromUint64(number)}, ID: id}
		added, _ := orderEvents.Batch(item) // it fails for types that are not registered
		if outcome, err := commands.Append(ctx, command, added); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable) // it may be applied: send it again
		} else if err = client.Await(ctx, p.store, p.name, command.Key, outcome.Version); err != nil {
			http.Error(w, "stored, not shown yet: "+err.Error(), http.StatusAccepted)
		} else {
			w.WriteHeader(http.StatusCreated)
		}
	})
	return mux
}
