package shard_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"reflect"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
)

// stored returns the stored form of a shard's log and where each record ends.
func stored(t testing.TB, records []*shard.Record) (log []byte, ends []int) {
	for _, r := range records {
		log = r.Append(log)
		ends = append(ends, len(log))
	}
	if len(records) == 0 {
		t.Fatal("no records")
	}
	return log, ends
}

// replayed reads a log and returns its records.
func replayed(r io.Reader) (records []*shard.Record, intact int64, err error) {
	intact, err = shard.ReadRecords(r, func(r *shard.Record) error {
		records = append(records, r)
		return nil
	})
	return records, intact, err
}

func TestRecordRoundTrip(t *testing.T) {
	want := eventful(t, shard.Options{}).Records(0, 0)
	log, ends := stored(t, want)
	start := 0
	for i, end := range ends {
		got, n, err := shard.ParseRecord(log[start:])
		if err != nil || n != end-start {
			t.Fatalf("record %d: %d bytes, %v", i, n, err)
		}
		if !reflect.DeepEqual(got, want[i]) {
			t.Errorf("record %d:\n got %+v\nwant %+v", i, got, want[i])
		}
		start = end
	}
	got, intact, err := replayed(iotest.OneByteReader(bytes.NewReader(log)))
	if err != nil || intact != int64(len(log)) || !reflect.DeepEqual(got, want) {
		t.Errorf("%d bytes, %v", intact, err)
	}
}

// A log cut at any byte gives every whole record and no error.
func TestTornTail(t *testing.T) {
	want := eventful(t, shard.Options{}).Records(0, 0)
	log, ends := stored(t, want)
	whole := 0
	for cut := range len(log) + 1 {
		if whole < len(ends) && cut == ends[whole] {
			whole++
		}
		end := int64(0)
		if whole > 0 {
			end = int64(ends[whole-1])
		}
		for _, zeros := range []int{0, 1, 40, 9000} { // a file extended before its content arrived
			tail := append(bytes.Clone(log[:cut]), make([]byte, zeros)...)
			got, intact, err := replayed(bytes.NewReader(tail))
			if err != nil {
				t.Fatalf("cut at %d, %d zeros: %v", cut, zeros, err)
			}
			if len(got) != whole || intact != end {
				t.Fatalf("cut at %d, %d zeros: %d records, %d bytes, want %d, %d", cut, zeros, len(got), intact, whole, end)
			}
		}
		if cut < len(log) {
			start := int(end)
			if _, _, err := shard.ParseRecord(log[start:cut]); !errors.Is(err, shard.ErrTorn) {
				t.Fatalf("parse of %d bytes: %v", cut-start, err)
			}
		}
	}
}

// Any flipped bit is found; unless it is in the last record, whose body may be
// torn, it is an error, so that nothing behind it is silently lost.
func TestDamage(t *testing.T) {
	log, ends := stored(t, eventful(t, shard.Options{}).Records(0, 0))
	last := ends[len(ends)-2]
	for i := range log {
		for bit := range 8 {
			damaged := bytes.Clone(log)
			damaged[i] ^= 1 << bit
			got, _, err := replayed(bytes.NewReader(damaged))
			if len(got) == len(ends) {
				t.Fatalf("bit %d of byte %d: not found", bit, i)
			}
			if i < last && !errors.Is(err, shard.ErrCorrupt) {
				t.Fatalf("bit %d of byte %d: %v", bit, i, err)
			}
		}
	}
}

func TestReadRecordsErrors(t *testing.T) {
	log, ends := stored(t, eventful(t, shard.Options{}).Records(0, 0))
	stop := errors.New("stop")
	intact, err := shard.ReadRecords(bytes.NewReader(log), func(*shard.Record) error { return stop })
	if !errors.Is(err, stop) || intact != 0 {
		t.Errorf("refused by the caller: %d, %v", intact, err)
	}
	broken := errors.New("disk")
	_, intact, err = replayed(io.MultiReader(bytes.NewReader(log[:ends[0]+20]), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || intact != int64(ends[0]) {
		t.Errorf("reader failed: %d, %v", intact, err)
	}
}

// A header that promises two gigabytes allocates little until they arrive.
func TestPromisedLength(t *testing.T) {
	input := sealed(nil)
	binary.LittleEndian.PutUint32(input, 1<<31-1)
	binary.LittleEndian.PutUint32(input[8:], crc32.Checksum(input[:8], crc32.MakeTable(crc32.Castagnoli)))
	input = append(input, make([]byte, 100)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, intact, err := replayed(bytes.NewReader(input))
	runtime.ReadMemStats(&after)
	if err != nil || intact != 0 {
		t.Errorf("%d, %v", intact, err)
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 8<<20 {
		t.Errorf("%d bytes allocated", allocated)
	}
}

// sealed puts a header with fitting checksums before a body: without them
// nothing behind the checksums would be reached.
func sealed(body []byte) []byte {
	table := crc32.MakeTable(crc32.Castagnoli)
	b := make([]byte, 12, 12+len(body))
	binary.LittleEndian.PutUint32(b, uint32(len(body)))
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(body, table))
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b[:8], table))
	return append(b, body...)
}

// Bodies with fitting checksums that no shard stores.
func TestMalformedBodies(t *testing.T) {
	zeros := func(n int) []byte { return make([]byte, n) }
	head := func(kind byte) []byte { return append([]byte{kind, 0}, zeros(16+1)...) } // time, client, no user
	for name, body := range map[string][]byte{
		"empty":               {},
		"kind 0":              head(0),
		"kind 5":              head(5),
		"no shortest number":  append([]byte{3, 0x80, 0}, zeros(16+1+1)...),
		"endless number":      append([]byte{3}, bytes.Repeat([]byte{0xff}, 20)...),
		"flag 2":              append(append([]byte{3, 0}, zeros(16)...), 2, 0),
		"bytes too many":      append(head(3), 0, 0),
		"more than fits":      append(head(1), 200),
		"count overflows":     append(head(1), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1),
		"delete flags":        append(append(append(head(3), 1), zeros(48)...), 4, 0, 0),
		"trim cut":            append(head(2), zeros(48)...),
		"schema longer":       append(append(head(4), zeros(32)...), 0, 0, 0, 9),
		"payload longer":      append(append(append(head(1), 1), zeros(48)...), 1, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 99),
		"event count too big": append(append(append(head(1), 1), zeros(48)...), 1, 1, 1, 1, 99),
	} {
		if r, _, err := shard.ParseRecord(sealed(body)); !errors.Is(err, shard.ErrCorrupt) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// FuzzParseRecord: the parser neither panics nor allocates beyond its input,
// and what it accepts has exactly one stored form.
func FuzzParseRecord(f *testing.F) {
	log, ends := stored(f, eventful(f, shard.Options{}).Records(0, 0))
	start := 0
	for _, end := range ends {
		f.Add(log[start+12 : end])
		start = end
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		input := sealed(body)
		r, n, err := shard.ParseRecord(input)
		if err != nil {
			if !errors.Is(err, shard.ErrCorrupt) {
				t.Fatalf("%v", err)
			}
			return
		}
		if again := r.Append(nil); n != len(input) || !bytes.Equal(again, input) {
			t.Fatalf("%x\nparses and is stored as\n%x", input, again)
		}
		s := shard.New(shard.Options{})
		if s.Apply(r) == nil { // nor does applying what contradicts nothing
			s.Commit(s.Tail())
			s.Restart()
		}
	})
}
