package sqlstore

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Dialect is the SQL of one kind of database.
type Dialect uint8

// The dialects.
const (
	SQLite Dialect = iota + 1
	Postgres
)

// String returns the name of the database.
func (d Dialect) String() string {
	switch d {
	case SQLite:
		return "SQLite"
	case Postgres:
		return "PostgreSQL"
	}
	return fmt.Sprintf("dialect %d", uint8(d))
}

// param is the n-th parameter of a statement, from 1. Statements name each
// parameter once and in order, so that SQLite's can do without numbers: with
// them it takes time quadratic in their count.
func (d Dialect) param(n int) string {
	if d == SQLite {
		return "?"
	}
	return "$" + strconv.Itoa(n)
}

// typed is a parameter in a place that does not tell its type. PostgreSQL
// would take it for text there.
func (d Dialect) typed(n int, kind string) string {
	if d == SQLite {
		return d.param(n)
	}
	return d.param(n) + "::" + kind
}

const (
	// portions is the number of different sizes of multi-row statements:
	// powers of two, unused rows are NULL. Few sizes mean few statements for
	// drivers and servers to prepare and keep.
	portions   = 10
	maxPortion = 1 << (portions - 1)
)

// portion is the index of the smallest size that holds rows, which must be 1
// to maxPortion.
func portion(rows int) int {
	p := 0
	for 1<<p < rows {
		p++
	}
	return p
}

var (
	keyColumns    = []string{"org_id", "type_id", "aggregate_id"}
	cursorColumns = []string{"life", "version", "deleted", "server_timestamp", "event_seq", "client_id", "hash"}
	// rowKinds are the types of both.
	rowKinds = []string{"bytea", "bytea", "bytea", "bigint", "bigint", "boolean", "bigint", "bigint", "bytea", "bigint"}
)

// statements are the texts for one dialect and one prefix.
type statements struct {
	create                    []string
	exists, version, announce string
	enter, lock, own, forget  string
	first, next               string
	load, put                 [portions]string
	// putRows is the most rows one put takes. Preparing a long INSERT costs
	// SQLite more than its rows do, while PostgreSQL saves round trips.
	putRows int
}

var prefixPattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

func (d Dialect) statements(prefix string) (*statements, error) {
	if d != SQLite && d != Postgres {
		return nil, fmt.Errorf("sqlstore: unknown %v", d)
	}
	if !prefixPattern.MatchString(prefix) {
		return nil, fmt.Errorf("sqlstore: prefix %q: want 1 to 32 of a-z, 0-9 and _, beginning with a letter", prefix)
	}
	names := strings.NewReplacer(
		"{format}", prefix+"format",
		"{subscriptions}", prefix+"subscriptions",
		"{cursors}", prefix+"cursors",
		"{key}", strings.Join(keyColumns, ", "),
		"{columns}", strings.Join(keyColumns, ", ")+", "+strings.Join(cursorColumns, ", "),
		"{1}", d.param(1), "{2}", d.param(2), "{3}", d.param(3), "{4}", d.param(4),
	)
	s := &statements{
		version:  "SELECT version FROM {format}",
		announce: "INSERT INTO {format} (one, version) VALUES (1, {1}) ON CONFLICT (one) DO NOTHING",
		enter:    "INSERT INTO {subscriptions} (name, epoch) VALUES ({1}, 0) ON CONFLICT (name) DO NOTHING",
		own:      "UPDATE {subscriptions} SET epoch = {1}, scope = {2} WHERE id = {3}",
		forget:   "DELETE FROM {cursors} WHERE subscription = {1}",
		first:    "SELECT {columns} FROM {cursors} WHERE subscription = (SELECT id FROM {subscriptions} WHERE name = {1}) ORDER BY {key} LIMIT " + strconv.Itoa(maxPortion),
		next:     "SELECT {columns} FROM {cursors} WHERE subscription = (SELECT id FROM {subscriptions} WHERE name = {1}) AND ({key}) > ({2}, {3}, {4}) ORDER BY {key} LIMIT " + strconv.Itoa(maxPortion),
	}
	switch d {
	case SQLite:
		s.create, s.putRows = sqliteTables, maxPortion/8
		s.exists = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '{format}')"
		// An update that changes nothing is SQLite's way to lock: a plain read
		// would have to be upgraded, which fails when another wrote since.
		s.lock = "UPDATE {subscriptions} SET epoch = epoch WHERE name = {1} RETURNING id, epoch, scope"
	case Postgres:
		s.create, s.putRows = postgresTables, maxPortion
		s.exists = "SELECT to_regclass('{format}') IS NOT NULL"
		s.lock = "SELECT id, epoch, scope FROM {subscriptions} WHERE name = {1} FOR UPDATE"
	}
	for p := range portions {
		s.load[p] = names.Replace(d.loadText(1 << p))
		s.put[p] = names.Replace(d.putText(1 << p))
	}
	for _, text := range []*string{&s.exists, &s.version, &s.announce, &s.enter, &s.lock, &s.own, &s.forget, &s.first, &s.next} {
		*text = names.Replace(*text)
	}
	create := make([]string, len(s.create))
	for i, text := range s.create {
		create[i] = names.Replace(text)
	}
	s.create = create
	return s, nil
}

// loadText looks up rows keys of the subscription {1}, and numbers them. The
// cross join makes SQLite go from the keys to the cursors, not the other way.
func (d Dialect) loadText(rows int) string {
	if d == Postgres {
		return postgresLoad
	}
	var b strings.Builder
	b.WriteString("WITH owner AS (SELECT id FROM {subscriptions} WHERE name = {1}), wanted (i, org, type, aggregate) AS (VALUES ")
	for i := range rows {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "(%d", i)
		for k := range keyColumns {
			b.WriteString(", " + d.param(2+i*len(keyColumns)+k))
		}
		b.WriteString(")")
	}
	b.WriteString(") SELECT w.i, c." + strings.Join(cursorColumns, ", c."))
	b.WriteString(" FROM wanted w CROSS JOIN {cursors} c WHERE c.subscription = (SELECT id FROM owner)" +
		" AND c.org_id = w.org AND c.type_id = w.type AND c.aggregate_id = w.aggregate")
	return b.String()
}

// postgresLoad looks up {2} keys, one behind the other in {3}.
//
// A join would be planned by what statistics say of the table, which may be what
// it was when it was small: then all of it is read for each look-up. The LIMIT
// makes each key a search of its own, in which only the present size of the table
// counts. A plan of this size is also never kept while the table grows, since
// PostgreSQL takes a series of unknown length for one of 1000, and hence a plan
// for any portion for dearer than a new one for this portion.
var postgresLoad = "SELECT w.i, c." + strings.Join(cursorColumns, ", c.") +
	" FROM (SELECT id FROM {subscriptions} WHERE name = {1}) o, generate_series(0, {2}::int - 1) AS w (i)," +
	" LATERAL (SELECT * FROM {cursors} WHERE subscription = o.id" +
	" AND org_id = substring({3}::bytea, 48 * w.i + 1, 16)" +
	" AND type_id = substring({3}::bytea, 48 * w.i + 17, 16)" +
	" AND aggregate_id = substring({3}::bytea, 48 * w.i + 33, 16) LIMIT 1) c"

// putText inserts or replaces rows cursors of the subscription with id {1}.
func (d Dialect) putText(rows int) string {
	var b strings.Builder
	b.WriteString("INSERT INTO {cursors} (subscription, {columns}) SELECT " + d.typed(1, "bigint"))
	for k := range rowKinds {
		fmt.Fprintf(&b, ", column%d", k+1)
	}
	b.WriteString(" FROM (VALUES ")
	for i := range rows {
		row := make([]string, len(rowKinds))
		for k, kind := range rowKinds {
			row[k] = d.typed(2+i*len(rowKinds)+k, kind)
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("(" + strings.Join(row, ", ") + ")")
	}
	b.WriteString(") AS v WHERE column1 IS NOT NULL ON CONFLICT (subscription, {key}) DO UPDATE SET ")
	for i, c := range cursorColumns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(c + " = excluded." + c)
	}
	return b.String()
}
