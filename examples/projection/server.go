package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/celeriant/celeriant-go/await"
	"github.com/celeriant/celeriant-go/events"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool/writer"
)

type server struct {
	db       *sql.DB
	commands *writer.Writer
	waiters  *await.Waiters
}

// add appends an event and waits until the table shows it.
func (s *server) add(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	number, err := strconv.ParseUint(r.PathValue("number"), 10, 64)
	var item ItemAdded
	if err != nil || json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&item) != nil {
		http.Error(w, `want POST /orders/NUMBER with {"item":"book","cents":1250}`, http.StatusBadRequest)
		return
	}
	// A command is applied once, however often it is sent: a caller that lost the answer
	// sends it again with the same Idempotency-Key.
	command := writer.Command{Key: msg.Key{Org: org, Type: orderType, Aggregate: msg.IDFromUint64(number)}, ID: msg.NewID()}
	if key := r.Header.Get("Idempotency-Key"); key != "" {
		command.ID = msg.IDFromName(orderType, key)
	}
	var outcome writer.Outcome
	added, err := orderEvents.New(item, events.ID(command.ID))
	if err == nil {
		outcome, err = s.commands.Append(ctx, command, []msg.Event{added})
	}
	if err != nil { // it may be applied all the same: send it again
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	if err := s.waiters.Await(ctx, name, command.Key, outcome.Version); err != nil {
		http.Error(w, "stored, not shown yet: "+err.Error(), http.StatusAccepted)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

// list answers with all orders, in JSON.
func (s *server) list(w http.ResponseWriter, r *http.Request) {
	var all string
	err := s.db.QueryRowContext(r.Context(), "SELECT json_group_array(json_object('id', id, 'items', items, 'cents', cents)) FROM orders").Scan(&all)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, all)
}
