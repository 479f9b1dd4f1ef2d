package msg

import (
	"sync"
	"testing"
	"time"
)

// Golden: the layout of RFC 9562, section 5.7, with the fraction of method 3.
func TestNewIDLayout(t *testing.T) {
	var c idClock
	at := time.UnixMilli(0x017f22e279b0).Add(500 * time.Microsecond)
	first, second := c.next(at), c.next(at)
	if got := first.String()[:18]; got != "017f22e2-79b0-7800" {
		t.Errorf("%s", got)
	}
	if got := second.String()[:18]; got != "017f22e2-79b0-7801" {
		t.Errorf("the second of the same time is %s", got)
	}
	if back := c.next(at.Add(-time.Hour)); back.Compare(second) <= 0 {
		t.Errorf("%v after %v: the clock was set back", back, second)
	}
	for _, id := range []ID{first, second} {
		if id[6]>>4 != 7 || id[8]>>6 != 2 {
			t.Errorf("%v has the wrong version or variant", id)
		}
	}
	if first[9:] == nil || string(first[9:]) == string(second[9:]) {
		t.Error("not random")
	}
}

func TestNewIDsDiffer(t *testing.T) {
	var mu sync.Mutex
	seen := make(map[ID]bool)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			last := ID{}
			for range 2000 {
				id := NewID()
				if id.Compare(last) <= 0 {
					t.Errorf("%v after %v", id, last)
				}
				last = id
				mu.Lock()
				seen[id] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(seen) != 8000 {
		t.Errorf("%d ids differ", len(seen))
	}
}
