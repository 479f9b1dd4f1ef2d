package delivery_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/gateway/internal/delivery"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

func keyOf(n uint64) msg.Key { return msg.Key{Aggregate: msg.IDFromUint64(n)} }

func batch(key, version uint64) *stream.Change {
	return &stream.Change{Kind: stream.Batch, Key: keyOf(key), Batch: msg.Batch{Version: version}, Cursor: checkpoint.Cursor{Version: version}}
}

func ranges(numbers ...uint64) []delivery.Range {
	out := make([]delivery.Range, len(numbers))
	for i, n := range numbers {
		out[i] = delivery.Range{First: n, Last: n}
	}
	return out
}

func TestAcknowledgements(t *testing.T) {
	tests := []struct {
		name    string
		before  []delivery.Range // acknowledged before
		ranges  []delivery.Range
		refused uint64 // the delivery the error names; 0 for none
		settled int
	}{
		{name: "one", ranges: ranges(1), settled: 1},
		{name: "all at once", ranges: []delivery.Range{{First: 1, Last: 4}}, settled: 4},
		{name: "out of order between aggregates", ranges: ranges(2), settled: 1},
		{name: "the earlier one of an aggregate in the same message", ranges: ranges(1, 3), settled: 2},
		{name: "the later one of an aggregate alone", ranges: ranges(3), refused: 3},
		{name: "never made", ranges: ranges(5), refused: 5},
		{name: "a range that runs past the end", ranges: []delivery.Range{{First: 2, Last: 9}}, refused: 9},
		{name: "zero", ranges: ranges(0), refused: 0},
		{name: "twice, after the front was forgotten", before: ranges(1), ranges: ranges(1), refused: 1},
		{name: "twice, behind an outstanding one", before: ranges(2), ranges: ranges(2), refused: 2},
		{name: "twice in one message", ranges: ranges(1, 1), refused: 1},
		{name: "backwards in one message", ranges: ranges(2, 1), refused: 1},
		{name: "a range that ends before it begins", ranges: []delivery.Range{{First: 3, Last: 1}}, refused: 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := delivery.NewLedger(delivery.Limits{Changes: 10, Bytes: 1000})
			l.Add(batch(1, 1), 10) // 1
			l.Add(batch(2, 1), 10) // 2
			l.Add(batch(1, 2), 10) // 3
			l.Add(&stream.Change{Kind: stream.CaughtUp}, 1)
			if _, err := l.Handled(test.before); err != nil {
				t.Fatal(err)
			}
			outstanding, _ := l.Outstanding()
			settled, err := l.Handled(test.ranges)
			var refusal *delivery.RangeError
			if errors.As(err, &refusal) != (test.settled == 0) || refusal != nil && refusal.Delivery != test.refused {
				t.Fatalf("error %v, want one that names %d", err, test.refused)
			}
			if left, _ := l.Outstanding(); len(settled) != test.settled || left != outstanding-test.settled {
				t.Errorf("settled %d of %d and left %d, want %d settled", len(settled), outstanding, left, test.settled)
			}
		})
	}
}

func TestCredit(t *testing.T) {
	l := delivery.NewLedger(delivery.Limits{Changes: 2, Bytes: 100})
	if !l.Admits(500) {
		t.Error("a change beyond the credit is not admitted although nothing is outstanding")
	}
	l.Add(batch(1, 1), 60)
	if l.Admits(41) || !l.Admits(40) {
		t.Error("bytes are not bounded by 100")
	}
	l.Add(batch(2, 1), 1)
	if l.Admits(0) {
		t.Error("a third change is admitted")
	}
	if _, err := l.Handled(ranges(2)); err != nil {
		t.Fatal(err)
	}
	if !l.Admits(40) {
		t.Error("the acknowledgement did not give the credit back")
	}
}

func TestVoidDeliveriesMayBeAcknowledgedOnce(t *testing.T) {
	l := delivery.NewLedger(delivery.Limits{Changes: 10, Bytes: 1000})
	l.Add(batch(1, 1), 1)
	l.Add(batch(2, 1), 1)
	l.Add(batch(1, 2), 1)
	if n, err := l.Void(func(c *stream.Change) bool { return c.Key == keyOf(1) }); n != 2 || err != nil {
		t.Fatalf("voided %d, %v", n, err)
	}
	if _, _, ok := l.Of(keyOf(1)); ok {
		t.Error("a void delivery counts as outstanding")
	}
	l.Add(batch(1, 1), 1) // again, as delivery 4
	changes, err := l.Handled(ranges(1, 3))
	if err != nil || len(changes) != 0 {
		t.Errorf("late acknowledgement: %v, %v", changes, err)
	}
	if _, err := l.Handled(ranges(3)); err == nil {
		t.Error("a second late acknowledgement was taken")
	}
	if changes, err := l.Handled(ranges(4)); err != nil || len(changes) != 1 {
		t.Errorf("the repetition: %v, %v", changes, err)
	}
}

func TestVoidDeliveriesAreBounded(t *testing.T) {
	l := delivery.NewLedger(delivery.Limits{Changes: 10, Bytes: 1000})
	for n := range delivery.MaxVoid {
		l.Add(batch(1, uint64(n)+1), 1)
	}
	if _, err := l.Void(nil); err != nil {
		t.Errorf("error %v at the bound", err)
	}
	l.Add(batch(1, delivery.MaxVoid+1), 1)
	if _, err := l.Void(nil); !errors.Is(err, delivery.ErrTooManyVoid) {
		t.Errorf("error %v beyond it", err)
	}
}

// For any deliveries, acknowledged in any order: each delivery is
// settled once, in order within its aggregate, and the account comes out even.
func TestLedgerAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := delivery.NewLedger(delivery.Limits{Changes: 1000, Bytes: 1 << 20})
		type sent struct {
			key, version uint64
			open         bool
		}
		var all []sent
		versions, handled := map[uint64]uint64{}, map[uint64]uint64{}
		t.Repeat(map[string]func(*rapid.T){
			"deliver": func(t *rapid.T) {
				key := rapid.Uint64Range(1, 4).Draw(t, "key")
				versions[key]++
				if n := l.Add(batch(key, versions[key]), 3); n != uint64(len(all)+1) {
					t.Fatalf("delivery number %d, want %d", n, len(all)+1)
				}
				all = append(all, sent{key, versions[key], true})
			},
			"acknowledge": func(t *rapid.T) {
				n := rapid.Uint64Range(0, uint64(len(all)+1)).Draw(t, "number")
				valid := n >= 1 && n <= uint64(len(all)) && all[n-1].open && handled[all[n-1].key]+1 == all[n-1].version
				changes, err := l.Handled(ranges(n))
				if (err == nil) != valid {
					t.Fatalf("acknowledging %d: %v, want valid %v", n, err, valid)
				}
				if valid {
					all[n-1].open = false
					handled[all[n-1].key]++
					if len(changes) != 1 || changes[0].Cursor.Version != all[n-1].version {
						t.Fatalf("settled %v", changes)
					}
				}
			},
			"": func(t *rapid.T) {
				open := 0
				for _, s := range all {
					if s.open {
						open++
					}
				}
				if n, bytes := l.Outstanding(); n != open || bytes != int64(3*open) {
					t.Fatalf("outstanding %d with %d bytes, want %d", n, bytes, open)
				}
			},
		})
	})
}

// One delivery that stays open does not make the account grow with all that is
// delivered and acknowledged behind it.
func TestAStuckDeliveryHoldsNoOthers(t *testing.T) {
	l := delivery.NewLedger(delivery.Limits{Changes: 1 << 30, Bytes: 1 << 40})
	l.Add(batch(1, 1), 1)
	for n := uint64(2); n <= 20_000; n++ {
		l.Add(batch(2, n), 1)
		if _, err := l.Handled(ranges(n)); err != nil {
			t.Fatal(err)
		}
	}
	if n := l.Remembered(); n > 5000 {
		t.Errorf("%d deliveries are remembered", n)
	}
	l.Add(batch(1, 2), 1)
	if _, err := l.Handled(ranges(20_001)); err == nil {
		t.Error("the stuck delivery was passed over")
	}
	if _, err := l.Handled(ranges(7)); err == nil {
		t.Error("a second acknowledgement was taken")
	}
	if changes, err := l.Handled(ranges(1, 20_001)); err != nil || len(changes) != 2 {
		t.Errorf("settled %v, %v", changes, err)
	}
}
