package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

var (
	//go:embed data/flights-2013-01-01_07.csv.gz
	weekCSV []byte
	//go:embed data/airlines.csv
	airlinesCSV string
	//go:embed data/airports.csv
	airportsCSV string
)

const weekName = "flights-2013-01-01_07.csv.gz"

// flight is one row. A time is nil where nothing happened.
type flight struct {
	day                           time.Time // the local date, as UTC
	scheduled                     int       // hhmm, like all times of day
	departed, departDelay         *int
	arrived, arriveDelay          *int
	carrier, tail, origin, destin string
	number                        int
}

// rowError is a row that cannot be read.
type rowError struct {
	file  string
	line  int
	field string
	value string
	want  string
}

func (e *rowError) Error() string {
	return fmt.Sprintf("%s line %d: field %s is %q: want %s", e.file, e.line, e.field, e.value, e.want)
}

// readFlights reads a file, or the week inside when path is empty.
func readFlights(path string) ([]flight, error) {
	if path == "" {
		return parseFlights(weekName, bytes.NewReader(weekCSV))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading flights: %w", err)
	}
	defer f.Close()
	return parseFlights(path, f)
}

// parseFlights reads CSV, gzipped or not. file is only a name.
func parseFlights(file string, source io.Reader) ([]flight, error) {
	buffered := bufio.NewReader(source)
	source = buffered
	if magic, _ := buffered.Peek(2); len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		unpacked, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		source = unpacked
	}
	rows := csv.NewReader(source)
	rows.ReuseRecord = true
	header, err := rows.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading %s: the file is empty", file)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	r, err := newRowReader(file, header)
	if err != nil {
		return nil, err
	}
	var flights []flight
	for {
		record, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return flights, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		r.record, r.err = record, nil
		r.line, _ = rows.FieldPos(0)
		f := r.flight()
		if r.err != nil {
			return nil, r.err
		}
		flights = append(flights, f)
	}
}

// rowReader reads the fields of one record after another and remembers the
// first error of each.
type rowReader struct {
	file   string
	column map[string]int
	record []string
	line   int
	err    *rowError
}

func newRowReader(file string, header []string) (*rowReader, error) {
	r := &rowReader{file: file, column: make(map[string]int)}
	for i, name := range header {
		r.column[name] = i
	}
	for _, name := range []string{"year", "month", "day", "sched_dep_time", "dep_time", "dep_delay", "arr_time",
		"arr_delay", "carrier", "flight", "tailnum", "origin", "dest"} {
		if _, ok := r.column[name]; !ok {
			return nil, fmt.Errorf("reading %s: line 1 names no column %s", file, name)
		}
	}
	return r, nil
}

func (r *rowReader) flight() flight {
	f := flight{
		scheduled:   r.must("sched_dep_time", "a time of day (hhmm)", timeOfDay),
		departed:    r.maybe("dep_time", "a time of day (hhmm) or NA", timeOfDay),
		departDelay: r.maybe("dep_delay", "minutes or NA", minutes),
		arrived:     r.maybe("arr_time", "a time of day (hhmm) or NA", timeOfDay),
		arriveDelay: r.maybe("arr_delay", "minutes or NA", minutes),
		number:      r.must("flight", "a flight number", between(0, 99_999)),
		carrier:     r.code("carrier"),
		origin:      r.code("origin"),
		destin:      r.code("dest"),
		tail:        r.text("tailnum"),
	}
	year := r.must("year", "a year", between(1900, 2100))
	month := r.must("month", "1 to 12", between(1, 12))
	day := r.must("day", "a day of the month", between(1, 31))
	f.day = time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if f.day.Day() != day {
		r.fail("day", "a day of the month")
	}
	return f
}

// text returns a field, "" for NA.
func (r *rowReader) text(field string) string {
	v := strings.TrimSpace(r.record[r.column[field]])
	if v == "NA" {
		return ""
	}
	return v
}

func (r *rowReader) fail(field, want string) {
	if r.err == nil {
		r.err = &rowError{file: r.file, line: r.line, field: field, value: r.record[r.column[field]], want: want}
	}
}

func (r *rowReader) code(field string) string {
	v := r.text(field)
	if len(v) < 2 || len(v) > 4 {
		r.fail(field, "a code of 2 to 4 letters")
		return ""
	}
	return strings.Clone(v)
}

func (r *rowReader) must(field, want string, valid func(int) bool) int {
	n := r.maybe(field, want, valid)
	if n == nil {
		r.fail(field, want)
		return 0
	}
	return *n
}

func (r *rowReader) maybe(field, want string, valid func(int) bool) *int {
	v := r.text(field)
	if v == "" {
		return nil
	}
	n, err := strconv.Atoi(strings.TrimSuffix(v, ".0")) // as some tools write whole numbers
	if err != nil || !valid(n) {
		r.fail(field, want)
		return nil
	}
	return &n
}

func timeOfDay(n int) bool { return n >= 0 && n <= 2400 && n%100 < 60 }
func minutes(n int) bool   { return n > -10_000 && n < 10_000 }

func between(low, high int) func(int) bool {
	return func(n int) bool { return n >= low && n <= high }
}

// names reads a table of codes and names.
func names(text string) map[string]string {
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		panic(err) // it is part of the program
	}
	table := make(map[string]string, len(rows))
	for _, row := range rows[1:] {
		table[row[0]] = row[1]
	}
	return table
}
