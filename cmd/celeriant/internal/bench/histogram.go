package bench

import (
	"math"
	"math/bits"
	"time"
)

const (
	// precision is the number of buckets per power of two: a quantile is at
	// most 1/64 too high.
	precision = 64
	// buckets hold durations of up to 2⁴⁰ ns, 18 minutes; longer ones count
	// as the longest.
	buckets = (40-7)*precision + 2*precision
)

// histogram counts durations in buckets that widen with them. A histogram has a
// fixed size and belongs to one goroutine.
type histogram struct {
	counts [buckets]uint32
	total  uint64
	sum    time.Duration
	max    time.Duration
}

func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(uint64(d))]++
	h.total++
	h.sum += d
	h.max = max(h.max, d)
}

func bucketOf(ns uint64) int {
	shift := max(bits.Len64(ns)-7, 0)
	return min(shift*precision+int(ns>>shift), buckets-1)
}

// highest returns the longest duration of a bucket.
func highest(bucket int) time.Duration {
	if bucket < 2*precision {
		return time.Duration(bucket)
	}
	shift := bucket/precision - 1
	return time.Duration((uint64(bucket-shift*precision)+1)<<shift - 1)
}

func (h *histogram) merge(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.sum += other.sum
	h.max = max(h.max, other.max)
}

// quantile returns a duration that the fraction q of all does not exceed.
func (h *histogram) quantile(q float64) time.Duration {
	rank := max(uint64(math.Ceil(q*float64(h.total))), 1)
	seen := uint64(0)
	for i, n := range h.counts {
		if seen += uint64(n); seen >= rank {
			return min(highest(i), h.max)
		}
	}
	return h.max
}

func (h *histogram) mean() time.Duration {
	if h.total == 0 {
		return 0
	}
	return h.sum / time.Duration(h.total)
}
