package sqlcore

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var (
	keyColumns    = []string{"org_id", "type_id", "aggregate_id"}
	cursorColumns = []string{"life", "version", "deleted", "server_timestamp", "event_seq", "client_id", "hash"}
	// rowKinds are the types of both.
	rowKinds = []string{"bytea", "bytea", "bytea", "bigint", "bigint", "boolean", "bigint", "bigint", "bytea", "bigint"}
)

// statements are the texts for one dialect, schema and prefix.
type statements struct {
	dialect                               Dialect
	names                                 *strings.Replacer
	create                                []string
	exists, version, announce, reannounce string
	// ownership of a subscription
	enter, read, share, lock, own string
	// enterFence is read for a transaction whose fence is in partitions' records: it
	// bounds how long such a transaction may be idle.
	enterFence string
	// enterPartition does so for a transaction whose fence is one partition's record, and
	// reads and locks that, too; empty where it takes a statement of its own.
	enterPartition string
	// bindIdle has a connection bound the idleness of its transactions, where the other
	// statements cannot; empty where none is needed.
	bindIdle                     string
	forgetCursors, forgetRecords string
	// cursors: a page of a scan, a look-up that locks or not, a write that
	// replaces what lies below, and one that only adds
	first, next    string
	load, loadLock [portions]string
	put, add       [portions]string
	// putRows is the most rows one put takes. Preparing a long INSERT costs
	// SQLite more than its rows do, while PostgreSQL saves round trips.
	putRows int
	// records
	records, storeRecords, exchange string
	putRecord, addRecord, drop      string
	dropPrefix, count               string
	enterLimit, lockLimit           string
	subscribed                      string
}

var prefixPattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

func checkPrefix(prefix string) error {
	if !prefixPattern.MatchString(prefix) {
		return fmt.Errorf("prefix %q: want 1 to 32 of a-z, 0-9 and _, beginning with a letter", prefix)
	}
	return nil
}

func (d Dialect) statements(o Options) *statements {
	table := func(name string) string { return d.quote(o.Schema) + "." + d.quote(o.Prefix+name) }
	pairs := []string{
		"{format}", table("format"),
		"{subscriptions}", table("subscriptions"),
		"{cursors}", table("cursors"),
		"{records}", table("records"),
		"{key}", strings.Join(keyColumns, ", "),
		"{columns}", strings.Join(keyColumns, ", ") + ", " + strings.Join(cursorColumns, ", "),
		"{ownership}", "id, epoch, token, scope",
		"{page}", strconv.Itoa(maxPortion),
		"{now}", d.now(),
		"{bytewise}", d.bytewise(),
	}
	for n := 1; n <= 5; n++ {
		pairs = append(pairs, "{"+strconv.Itoa(n)+"}", d.param(n))
	}
	s := &statements{dialect: d, names: strings.NewReplacer(pairs...), putRows: maxPortion}
	s.shared()
	s.special(o)
	for p := range portions {
		s.load[p] = d.loadText(1<<p, "")
		s.loadLock[p] = d.loadText(1<<p, d.forUpdate())
		s.put[p] = d.putText(1<<p, true)
		s.add[p] = d.putText(1<<p, false)
	}
	for _, text := range s.all() {
		*text = s.names.Replace(*text)
	}
	create := make([]string, 0, len(d.tables()))
	for _, text := range d.tables() {
		create = append(create, s.names.Replace(text))
	}
	s.create = create
	return s
}

// shared sets the texts that the dialects have in common.
func (s *statements) shared() {
	const of = "WHERE subscription = (SELECT id FROM {subscriptions} WHERE name = {1})"
	const recordsFrom = "SELECT {now}, r.record_key, r.record_value FROM (SELECT 1 AS one) o LEFT JOIN {records} r ON r.subscription = "
	d := s.dialect
	s.version = "SELECT version FROM {format}"
	s.announce = d.insert("{format}", "one, version", "1, {1}")
	s.reannounce = "UPDATE {format} SET version = {1}"
	s.enter = d.insert("{subscriptions}", "name, epoch", "{1}, 0")
	s.read = "SELECT {ownership} FROM {subscriptions} WHERE name = {1}"
	s.enterFence = s.read
	s.share = s.read + d.forShare()
	s.lock = s.read + d.forUpdate()
	s.own = "UPDATE {subscriptions} SET epoch = {1}, token = {2}, scope = {3} WHERE id = {4}"
	s.forgetCursors = "DELETE FROM {cursors} WHERE subscription = {1}"
	s.forgetRecords = "DELETE FROM {records} WHERE subscription = {1}"
	s.first = "SELECT {columns} FROM {cursors} " + of + " ORDER BY {key} LIMIT {page}"
	s.next = "SELECT {columns} FROM {cursors} " + of + " AND ({key}) > ({2}, {3}, {4}) ORDER BY {key} LIMIT {page}"
	s.records = recordsFrom + "(SELECT id FROM {subscriptions} WHERE name = {1}) AND r.record_key > '' AND r.record_key >= {2} AND r.record_key < {3} ORDER BY r.record_key"
	s.storeRecords = recordsFrom + "0 AND r.record_key > '' AND r.record_key >= {1} AND r.record_key < {2} ORDER BY r.record_key"
	s.addRecord = d.insert("{records}", "subscription, record_key, record_value", "{1}, {2}, {3}")
	s.drop = "DELETE FROM {records} WHERE subscription = {1} AND record_key = {2}"
	s.dropPrefix = "DELETE FROM {records} WHERE subscription = {1} AND record_key >= {2} AND record_key < {3}"
	s.count = "SELECT count(*) FROM {records} WHERE subscription = {1} AND record_key >= {2} AND record_key < {3}"
	s.enterLimit = d.insert("{records}", "subscription, record_key, record_value", "{1}, '', ''")
	s.lockLimit = "SELECT record_key FROM {records} WHERE subscription = {1} AND record_key = ''" + d.forUpdate()
	s.subscribed = "SELECT name FROM {subscriptions} WHERE scope IS NOT NULL AND name{bytewise} > {1} ORDER BY name{bytewise} LIMIT {page}"
	s.putRecord = "INSERT INTO {records} (subscription, record_key, record_value) VALUES ({1}, {2}, {3})" +
		" ON CONFLICT (subscription, record_key) DO UPDATE SET record_value = excluded.record_value"
}

// special sets the texts of one dialect.
func (s *statements) special(o Options) {
	d := s.dialect
	switch d {
	case SQLite:
		s.putRows = maxPortion / 8
		s.exists = "SELECT EXISTS (SELECT 1 FROM " + d.quote(o.Schema) + ".sqlite_master WHERE type = 'table' AND name = '" + o.Prefix + "format')"
		// An update that changes nothing is SQLite's way to lock: a plain read
		// would have to be upgraded, which fails when another wrote since.
		s.lock = "UPDATE {subscriptions} SET epoch = epoch WHERE name = {1} RETURNING {ownership}"
		s.share = s.lock
	case Postgres:
		s.exists = "SELECT to_regclass('" + strings.ReplaceAll(d.quote(o.Schema), "'", "''") + "." + o.Prefix + "format') IS NOT NULL"
		if o.Idle > 0 {
			// The one who holds the lock bounds how long it holds it without a
			// word. The setting ends with the transaction.
			bounded := strings.Replace(s.read, "SELECT", "SELECT "+d.bound(o)+", ", 1)
			s.share, s.lock, s.enterFence = bounded+d.forShare(), bounded+d.forUpdate(), bounded
		}
		s.enterPartition = "WITH fence AS (SELECT record_value FROM {records} WHERE subscription = (SELECT id FROM {subscriptions} WHERE name = {1})" +
			" AND record_key = {2}" + d.forShare() + ") " + strings.Replace(s.enterFence, " FROM", ", (SELECT record_value FROM fence) FROM", 1)
		// All columns of the index in one comparison: with the subscription apart,
		// a table without statistics is taken for one with few cursors of each, and
		// all of them are read and sorted for every page.
		s.next = "SELECT {columns} FROM {cursors} WHERE (subscription, {key}) > ((SELECT id FROM {subscriptions} WHERE name = {1}), {2}, {3}, {4})" +
			" AND subscription <= (SELECT id FROM {subscriptions} WHERE name = {5}) ORDER BY subscription, {key} LIMIT {page}"
		s.exchange = "WITH changed AS (" + s.putRecord + ") " + strings.NewReplacer("{1}", "{3}", "{2}", "{4}").Replace(s.storeRecords)
		s.exchange = strings.Replace(s.exchange, "VALUES ({1}, {2}, {3})", "VALUES (0, {1}, {2})", 1)
	case MySQL:
		// MySQL finds the place in the index by a condition on each column, not by
		// a comparison of rows.
		s.next = "SELECT {columns} FROM {subscriptions} s JOIN {cursors} c ON c.subscription = s.id WHERE s.name = {1} AND ({after}) ORDER BY {key} LIMIT {page}"
		s.exists = "SELECT EXISTS (SELECT 1 FROM information_schema.tables WHERE table_schema = " +
			mysqlText(o.Schema) + " AND table_name = '" + o.Prefix + "format')"
		s.putRecord = "INSERT INTO {records} (subscription, record_key, record_value) VALUES ({1}, {2}, {3})" +
			" ON DUPLICATE KEY UPDATE record_value = VALUES(record_value)"
		if o.Idle > 0 {
			bounded := strings.Replace(s.read, "SELECT", "SELECT "+d.bound(o)+", ", 1)
			s.share, s.lock, s.enterFence = bounded+d.forShare(), bounded+d.forUpdate(), bounded
			s.bindIdle = fmt.Sprintf("SET /*M! SESSION idle_transaction_timeout = %d, */ @celeriant_idle = 1", idleSeconds(o))
		}
	}
}

// bound is an expression that bounds the transaction's idleness. In MySQL it only tells
// whether that is bounded already: whether it is to be bounded by the statement bindIdle,
// which is for once on each connection. MariaDB alone can, and alone reads what stands in
// the comment.
func (d Dialect) bound(o Options) string {
	if d == MySQL {
		return fmt.Sprintf("0 /*M! + (@@SESSION.idle_transaction_timeout NOT BETWEEN 1 AND %d) */", idleSeconds(o))
	}
	return fmt.Sprintf("set_config('idle_in_transaction_session_timeout', '%d', true)", max(1, o.Idle.Milliseconds()))
}

// idleSeconds is the bound in the unit of MariaDB.
func idleSeconds(o Options) int64 { return int64((o.Idle + time.Second - 1) / time.Second) }

func (s *statements) all() []*string {
	all := []*string{
		&s.exists, &s.version, &s.announce, &s.reannounce, &s.enter, &s.read, &s.share, &s.lock, &s.enterFence, &s.enterPartition, &s.bindIdle, &s.own,
		&s.forgetCursors, &s.forgetRecords, &s.first, &s.next, &s.records, &s.storeRecords, &s.exchange,
		&s.putRecord, &s.addRecord, &s.drop, &s.dropPrefix, &s.count, &s.enterLimit, &s.lockLimit, &s.subscribed,
	}
	for p := range portions {
		all = append(all, &s.load[p], &s.loadLock[p], &s.put[p], &s.add[p])
	}
	return all
}

// insert adds a row unless its key is there.
func (d Dialect) insert(table, columns, values string) string {
	if d == MySQL {
		return "INSERT IGNORE INTO " + table + " (" + columns + ") VALUES (" + values + ")"
	}
	return "INSERT INTO " + table + " (" + columns + ") VALUES (" + values + ") ON CONFLICT DO NOTHING"
}

// mysqlText is a literal of any text.
func mysqlText(s string) string { return fmt.Sprintf("CONVERT(X'%x' USING utf8mb4)", s) }

// loadText looks up rows keys of the subscription {1}, and numbers them; lock
// ends the look-up. The cross join makes SQLite go from the keys to the cursors,
// not the other way.
func (d Dialect) loadText(rows int, lock string) string {
	switch d {
	case Postgres:
		return postgresLoad(lock)
	case MySQL:
		return "SELECT w.i, c." + strings.Join(cursorColumns, ", c.") + " FROM ({wanted}) w STRAIGHT_JOIN {cursors} c" +
			" ON c.subscription = (SELECT id FROM {subscriptions} WHERE name = {1})" +
			" AND c.org_id = w.org AND c.type_id = w.type AND c.aggregate_id = w.aggregate" + lock
	}
	var b strings.Builder
	b.WriteString("WITH owner AS (SELECT id FROM {subscriptions} WHERE name = {1}), wanted (i, org, type, aggregate) AS (VALUES ")
	for i := range rows {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "(%d, %s)", i, d.params(2+i*len(keyColumns), len(keyColumns)))
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
func postgresLoad(lock string) string {
	return "SELECT w.i, c." + strings.Join(cursorColumns, ", c.") +
		" FROM (SELECT id FROM {subscriptions} WHERE name = {1}) o, generate_series(0, {2}::int - 1) AS w (i)," +
		" LATERAL (SELECT * FROM {cursors} WHERE subscription = o.id" +
		" AND org_id = substring({3}::bytea, 48 * w.i + 1, 16)" +
		" AND type_id = substring({3}::bytea, 48 * w.i + 17, 16)" +
		" AND aggregate_id = substring({3}::bytea, 48 * w.i + 33, 16) LIMIT 1" + lock + ") c"
}

// putText inserts rows cursors of the subscription with id {1}. With replace it
// replaces those that lie below, which the number of affected rows tells;
// without, it adds only.
func (d Dialect) putText(rows int, replace bool) string {
	if d == MySQL {
		return mysqlPut(replace)
	}
	var b strings.Builder
	b.WriteString("INSERT INTO {cursors} AS c (subscription, {columns}) SELECT " + d.typed(1, "bigint"))
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
	b.WriteString(") AS v WHERE column1 IS NOT NULL ON CONFLICT (subscription, {key}) DO ")
	if !replace {
		return b.String() + "NOTHING"
	}
	b.WriteString("UPDATE SET " + assign(cursorColumns, "excluded.%s"))
	b.WriteString(" WHERE (c.life, c.version, c.deleted) < (excluded.life, excluded.version, excluded.deleted)")
	return b.String()
}

// mysqlPut takes its rows as literals, since every parameter costs MySQL's
// drivers round trips.
func mysqlPut(replace bool) string {
	text := "INSERT INTO {cursors} (subscription, {columns}) VALUES {rows}"
	if replace {
		text += " ON DUPLICATE KEY UPDATE " + assign(cursorColumns, "VALUES(%s)")
	}
	return text
}

func assign(columns []string, value string) string {
	all := make([]string, len(columns))
	for i, c := range columns {
		all[i] = c + " = " + fmt.Sprintf(value, c)
	}
	return strings.Join(all, ", ")
}
