package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	csvHeader = "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,origin,dest\n"
	goodRow   = "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH\n"
)

func TestMalformedFlights(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"not a time":       {csvHeader + goodRow + "2013,1,1,25x9,515,2,830,819,11,UA,1545,N14228,EWR,IAH\n", []string{"line 3", "dep_time", "25x9"}},
		"minute 60":        {csvHeader + "2013,1,1,1260,515,2,830,819,11,UA,1545,N14228,EWR,IAH\n", []string{"line 2", "dep_time", "1260"}},
		"no schedule":      {csvHeader + "2013,1,1,517,NA,2,830,819,11,UA,1545,N14228,EWR,IAH\n", []string{"line 2", "sched_dep_time", "NA"}},
		"no such day":      {csvHeader + "2013,2,30,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH\n", []string{"line 2", "day", "30"}},
		"month":            {csvHeader + "2013,13,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH\n", []string{"line 2", "month", "13"}},
		"year":             {csvHeader + "13,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH\n", []string{"line 2", "year", "13"}},
		"delay":            {csvHeader + "2013,1,1,517,515,2,830,819,late,UA,1545,N14228,EWR,IAH\n", []string{"line 2", "arr_delay", "late"}},
		"flight":           {csvHeader + "2013,1,1,517,515,2,830,819,11,UA,,N14228,EWR,IAH\n", []string{"line 2", "flight"}},
		"airport":          {csvHeader + "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,Newark,IAH\n", []string{"line 2", "origin", "Newark"}},
		"fields":           {csvHeader + goodRow + "2013,1,1\n", []string{"line 3", "number of fields"}},
		"quotes":           {csvHeader + "2013,1,\"1,517\n", []string{"line 2"}},
		"no column":        {"year,month\n", []string{"line 1", "day"}},
		"empty":            {"", []string{"empty"}},
		"broken gzip":      {"\x1f\x8bnonsense", []string{"gzip"}},
		"not even a table": {"hello\n", []string{"line 1", "year"}},
	} {
		t.Run(name, func(t *testing.T) {
			file, dir := filepath.Join(t.TempDir(), "bad.csv"), filepath.Join(t.TempDir(), "new")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			fail(t, append(c.want, file), "--data", file, "--dir", dir)
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Error("something was made of it all the same")
			}
		})
	}
	missing := filepath.Join(t.TempDir(), "missing.csv")
	fail(t, []string{missing}, "--data", missing, "--dir", t.TempDir())
}

// Plain and gzipped files are read alike, also with whole numbers written as
// fractions.
func TestDataFiles(t *testing.T) {
	text := csvHeader + goodRow + "2013,1.0,1,2400.0,2359,1.0,NA,819,,DL,7,,JFK,ATL\n" + "2013,1,2,,515,,,819,,UA,1545,N14228,EWR,IAH\n"
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	for name, content := range map[string][]byte{"a.csv": []byte(text), "a.csv.gz": packed.Bytes()} {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		got := succeed(t, "--data", file, "--dir", t.TempDir())
		if got.Departures["EWR"] != 1 || got.Departures["JFK"] != 1 || got.Cancelled != 1 || len(got.Late) != 0 || got.EventsApplied != 4 || got.BatchesApplied != 3 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// A plan must never change: a rerun, by a later release too, knows its own batches by
// their ids.
func TestPlanIsStable(t *testing.T) {
	flights, err := parseFlights("test", strings.NewReader(csvHeader+goodRow+
		"2013,1,1,1800,1755,5,NA,2100,NA,UA,1546,N14228,IAH,EWR\n"+"2013,1,2,NA,515,NA,NA,819,NA,UA,1545,N14228,EWR,IAH\n"+"2013,1,2,NA,515,NA,NA,819,NA,UA,9,NA,EWR,IAH\n"))
	if err != nil {
		t.Fatal(err)
	}
	batches, err := plan(flights)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range batches {
		for _, e := range b.events {
			got = append(got, strings.Join([]string{b.aircraft, b.day.Format(time.DateOnly), b.key.Aggregate.String()[:8],
				b.id().String()[:8], string('0' + rune(e.Major))}, " "))
		}
	}
	if text := strings.Join(got, "\n"); text != planned {
		t.Errorf("got\n%s", text)
	}
}

const planned = `N14228 2013-01-01 027005ff 59d9bfcf 1
N14228 2013-01-01 027005ff 59d9bfcf 2
N14228 2013-01-01 027005ff 59d9bfcf 1
N14228 2013-01-02 027005ff 2cae4321 3
UA9 2013-01-02 2a62be35 ed73fd8b 3`

func TestDatabaseTrouble(t *testing.T) {
	filled := t.TempDir()
	succeed(t, "--dir", filled, "--ledger")
	for name, c := range map[string]struct {
		statement string
		want      []string
	}{
		"schema of another version":  {"PRAGMA user_version = 9", []string{"version 9", "version 1"}},
		"database of another":        {"PRAGMA application_id = 9", []string{"another program"}},
		"checkpoint format":          {"UPDATE celeriant_format SET version = 9", []string{"format 9", "format 2"}},
		"damaged checkpoint":         {"UPDATE celeriant_cursors SET client_id = x'0102'", []string{"damaged", "client_id"}},
		"checkpoint of other scope":  {"UPDATE celeriant_subscriptions SET scope = 'everything'", []string{"scope", "everything"}},
		"table of the model missing": {"DROP TABLE positions; DELETE FROM celeriant_cursors", []string{"positions"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(filled)); err != nil {
				t.Fatal(err)
			}
			db := open(t, dir)
			execute(t, db, c.statement)
			db.Close()
			fail(t, append(c.want, filepath.Join(dir, "flights.db")), "--dir", dir)
		})
	}
	t.Run("no database", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "flights.db")
		if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
		fail(t, []string{path, "not a database"}, "--dir", dir)
	})
	t.Run("locked", func(t *testing.T) {
		dir := t.TempDir()
		db := open(t, dir)
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		fail(t, []string{filepath.Join(dir, "flights.db"), "locked", "another program"}, "--dir", dir)
	})
}

// A disk that is full stops it in mid-work; when there is room again, the next
// run comes to the same totals.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	var said bytes.Buffer
	err := run(context.Background(), config{dir: dir, ledger: true, json: true, writers: 4, out: io.Discard, diagnostics: &said,
		pragmas: []string{"max_page_count(60)"}, patience: time.Second})
	if err == nil || !strings.Contains(err.Error(), "full") || !strings.Contains(err.Error(), filepath.Join(dir, "flights.db")) {
		t.Fatalf("got %v", err)
	}
	db := open(t, dir)
	rows := number(t, db, "SELECT count(*) FROM ledger")
	if sum := number(t, db, "SELECT coalesce(sum(version), 0) FROM celeriant_cursors"); rows == 0 || rows != sum {
		t.Errorf("%d batches are applied, the cursors say %d", rows, sum)
	}
	db.Close()
	wantTruth(t, succeed(t, "--dir", dir, "--ledger"))
	wantLedger(t, dir)
}

func TestFolderThatIsAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fail(t, []string{file}, "--dir", file)
}
