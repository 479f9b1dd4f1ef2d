package checkpoint_test

import (
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
)

// Stored cursors are found by their bucket, and partitions by the hash: if this
// test fails, the code is wrong.
func TestBucketsAreStable(t *testing.T) {
	for _, c := range []struct {
		key    msg.Key
		hash   uint64
		bucket uint16
	}{
		{msg.Key{}, 0xe255222d4cbbadba, 0xe25},
		{msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(3)}, 0x5ab139d00595db76, 0x5ab},
	} {
		if hash, bucket := checkpoint.KeyHash(c.key), checkpoint.Bucket(c.key); hash != c.hash || bucket != c.bucket {
			t.Errorf("%v has hash %#x and bucket %#x, want %#x and %#x", c.key, hash, bucket, c.hash, c.bucket)
		}
	}
}

func TestBucketsAreUsedEvenly(t *testing.T) {
	var counts [checkpoint.Buckets]int
	const each = 64
	for n := range uint64(each * checkpoint.Buckets) {
		counts[checkpoint.Bucket(msg.Key{Org: msg.IDFromUint64(1), Type: msg.IDFromUint64(2), Aggregate: msg.IDFromUint64(n)})]++
	}
	for bucket, n := range counts {
		if n < each/4 || n > each*2 {
			t.Errorf("bucket %d has %d keys of %d", bucket, n, each)
		}
	}
}
