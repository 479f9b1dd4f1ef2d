package bench

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"
)

func TestBucketsHoldWhatTheySay(t *testing.T) {
	for bucket := range buckets - 1 {
		top := highest(bucket)
		if bucketOf(uint64(top)) != bucket || bucketOf(uint64(top)+1) != bucket+1 {
			t.Fatalf("bucket %d ends at %d, which is in bucket %d, and %d in %d", bucket, top, bucketOf(uint64(top)), top+1, bucketOf(uint64(top)+1))
		}
	}
	if got := bucketOf(1 << 62); got != buckets-1 {
		t.Errorf("a year is in bucket %d of %d", got, buckets)
	}
}

func TestQuantiles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var parts [3]histogram
	var all []time.Duration
	for i := range 10_000 {
		d := time.Duration(random.ExpFloat64() * float64(time.Millisecond))
		parts[i%3].add(d)
		all = append(all, d)
	}
	h := &parts[0]
	h.merge(&parts[1])
	h.merge(&parts[2])
	slices.Sort(all)
	for _, q := range []float64{0.0001, 0.5, 0.9, 0.99, 0.999, 1} {
		exact := all[max(int(q*float64(len(all))+0.5), 1)-1]
		if got := h.quantile(q); got < exact || got > exact+exact/precision+1 {
			t.Errorf("quantile %v is %v, exactly it is %v", q, got, exact)
		}
	}
	sum := time.Duration(0)
	for _, d := range all {
		sum += d
	}
	if h.max != all[len(all)-1] || h.mean() != sum/10_000 || h.total != 10_000 {
		t.Errorf("max %v, mean %v of %d", h.max, h.mean(), h.total)
	}
}

func TestHistogramOfNothingAndOfTheImpossible(t *testing.T) {
	var h histogram
	if h.quantile(0.99) != 0 || h.mean() != 0 {
		t.Error("nothing has a latency")
	}
	h.add(-time.Second)
	if h.quantile(1) != 0 || h.total != 1 {
		t.Errorf("a negative duration counts as %v", h.quantile(1))
	}
	h.add(time.Hour)
	if h.quantile(1) != highest(buckets-1) && h.quantile(1) != time.Hour {
		t.Errorf("an hour counts as %v", h.quantile(1))
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	m, tally := newMaker(5, 200, 1), new(tally)
	if n := testing.AllocsPerRun(1000, func() {
		began := time.Now()
		tally.events += uint64(len(m.next()))
		tally.latency.add(time.Since(began))
	}); n != 0 {
		t.Errorf("%v allocations per operation", n)
	}
}

func TestEventsDifferAndCount(t *testing.T) {
	m := newMaker(3, 50, 1)
	seen := map[string]bool{}
	for batch := range uint64(4) {
		for i, e := range m.next() {
			if want := batch*3 + uint64(i) + 1; e.ClientSeq != want || len(e.Value) != 50 || e.Major != 1 {
				t.Errorf("event %d: %+v", want, e)
			}
			seen[string(e.Value)] = true
		}
	}
	if len(seen) != 12 {
		t.Errorf("%d different payloads of 12", len(seen))
	}
	if m.restart(); m.next()[0].ClientSeq != 1 {
		t.Error("another aggregate does not begin at 1")
	}
}

func TestProcessorTimeIsMeasured(t *testing.T) {
	c := startClock()
	if !c.known {
		return // this system does not tell: reports leave the field out
	}
	// On a busy machine the work gets little of the time that passes.
	for c.spent.user+c.spent.system < 20*time.Millisecond && c.elapsed < time.Minute {
		c.stop()
	}
	if spent := c.spent.user + c.spent.system; spent < 20*time.Millisecond || spent > c.elapsed*time.Duration(runtime.NumCPU()+1) {
		t.Errorf("%v of processor time in %v of work", spent, c.elapsed)
	}
}
