package stream

import (
	"fmt"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

func upTo(v uint64) msg.Opt[uint64] { return msg.Some(v) }

var openEnd = msg.None[uint64]()

func pageOf(versions ...uint64) *page {
	k := &page{key: hint(1, 0, 0).Key, from: 1}
	for _, v := range versions {
		k.batches = append(k.batches, msg.Batch{Version: v, Events: []msg.Event{{}}})
	}
	return k
}

// Which reads may take the answer of another one.
func TestPagesServe(t *testing.T) {
	for _, c := range []struct {
		from, of      uint64
		to, ofTo      msg.Opt[uint64]
		exact, shared bool
	}{
		{1, 1, upTo(9), upTo(9), false, true},
		{1, 1, upTo(9), upTo(9), true, true},
		{1, 1, upTo(8), upTo(9), false, true},
		{1, 1, upTo(8), upTo(9), true, false},
		{1, 1, upTo(10), upTo(9), false, false},
		{2, 1, upTo(9), upTo(9), false, false},
		{1, 2, upTo(9), upTo(9), false, false},
		{1, 1, openEnd, openEnd, false, true},
		{1, 1, openEnd, upTo(9), false, false},
		{1, 1, upTo(9), openEnd, false, false},
		{1, 1, upTo(0), upTo(9), false, false},
		{1, 1, upTo(0), upTo(0), false, true},
		// 1000 and 1010 become one range, whichever comes first.
		{1, 1, upTo(1010), upTo(1000), false, true},
		{1, 1, upTo(1000), upTo(1010), false, true},
		{1, 1, upTo(1010), upTo(1000), true, false},
	} {
		for _, kept := range []bool{false, true} {
			p := newPages()
			key := hint(1, 0, 0).Key
			_, first, _ := p.lookup("", key, c.of, c.ofTo, false)
			if kept {
				p.complete(time.Now(), first, &page{key: key, from: first.from, to: first.to})
			}
			k, _, fresh := p.lookup("", key, c.from, c.to, c.exact)
			if fresh == c.shared || !fresh && (k != nil) != kept {
				t.Errorf("%d to %v by %d to %v, exact %v, kept %v: sent %v", c.from, c.to, c.of, c.ofTo, c.exact, kept, fresh)
			}
		}
	}
}

func TestRounded(t *testing.T) {
	for _, c := range []struct {
		from uint64
		to   msg.Opt[uint64]
		want msg.Opt[uint64]
	}{
		{1, openEnd, openEnd},
		{1, upTo(0), upTo(0)},
		{5, upTo(5), upTo(5)},
		{1, upTo(16), upTo(16)},
		{1, upTo(17), upTo(17)},
		{1, upTo(18), upTo(21)},
		{1, upTo(1001), upTo(1025)},
		{7, upTo(3184), upTo(3591)},
		{7, upTo(3155), upTo(3591)},
		{1, upTo(^uint64(0)), upTo(^uint64(0))},
	} {
		got := rounded(c.from, c.to)
		if got != c.want || got.Value > c.to.Value && (got.Value-c.from)*4 > (c.to.Value-c.from)*5+4 {
			t.Errorf("%d to %v is rounded to %v, want %v", c.from, c.to, got, c.want)
		}
	}
}

// A page is cut to what the node would have answered, or not used.
func TestPagesAreCut(t *testing.T) {
	for _, c := range []struct {
		name     string
		versions []uint64
		next     msg.Opt[uint64]
		to       msg.Opt[uint64]
		want     string // empty: not usable
		wantNext msg.Opt[uint64]
	}{
		{"nothing beyond", []uint64{1, 2}, openEnd, upTo(5), "[1 2]", openEnd},
		{"beyond", []uint64{1, 2, 6, 7}, openEnd, upTo(5), "[1 2]", openEnd},
		{"all beyond", []uint64{6, 7}, openEnd, upTo(5), "[]", openEnd},
		{"lives", []uint64{1, 6, 1, 7, 3}, openEnd, upTo(5), "[1 1 3]", openEnd},
		{"cut short below", []uint64{1, 2, 8}, upTo(3), upTo(5), "[1 2]", upTo(3)},
		{"cut short above", []uint64{1, 2, 6}, upTo(7), upTo(5), "", openEnd},
		{"cut short above, as asked", []uint64{1, 2, 6}, upTo(7), upTo(9), "[1 2 6]", upTo(7)},
	} {
		k := pageOf(c.versions...)
		k.to, k.next = upTo(9), c.next
		if !k.answers(c.to) {
			if c.want != "" {
				t.Errorf("%s: not used", c.name)
			}
			continue
		}
		r := k.upTo(c.to)
		got := []uint64{}
		for _, b := range r.Batches {
			got = append(got, b.Version)
		}
		if fmt.Sprint(got) != c.want || r.NextVersion != c.wantNext {
			t.Errorf("%s: %v, next %v; want %s, next %v", c.name, got, r.NextVersion, c.want, c.wantNext)
		}
		if len(k.batches) != len(c.versions) {
			t.Errorf("%s: the page itself was cut", c.name)
		}
	}
}

// TestPagesGoStale lists the events after which a read is not joined and its page not
// kept.
func TestPagesGoStale(t *testing.T) {
	key, other := hint(1, 0, 0).Key, hint(2, 0, 0).Key
	for _, c := range []struct {
		name    string
		happens func(p *pages)
		stale   bool
	}{
		{"nothing", func(*pages) {}, false},
		{"heard of it", func(p *pages) { p.invalidate(key) }, true},
		{"heard of another", func(p *pages) { p.invalidate(other) }, false},
		{"a list, a join, a loss", func(p *pages) { p.invalidateAll() }, true},
		{"another answer", func(p *pages) {
			_, f, _ := p.lookup("", key, 5, upTo(5), false)
			p.complete(time.Now(), f, pageOf())
		}, true},
		{"another refusal", func(p *pages) {
			_, f, _ := p.lookup("", key, 5, upTo(5), false)
			p.complete(time.Now(), f, nil)
		}, true},
		{"an answer for another", func(p *pages) {
			_, f, _ := p.lookup("", other, 5, upTo(5), false)
			p.complete(time.Now(), f, nil)
		}, false},
	} {
		p := newPages()
		_, f, _ := p.lookup("", key, 1, upTo(9), false)
		c.happens(&p)
		if _, again, fresh := p.lookup("", key, 1, upTo(9), false); fresh != c.stale {
			t.Errorf("%s: joined %v", c.name, !fresh)
		} else if fresh {
			p.abandon(again)
		}
		k := pageOf(1)
		k.to = upTo(9)
		p.complete(time.Now(), f, k)
		if hit, _, _ := p.lookup("", key, 1, upTo(9), false); (hit != k) != c.stale {
			t.Errorf("%s while it was read: kept %v", c.name, hit == k)
		}

		p = newPages()
		_, f, _ = p.lookup("", key, 1, upTo(9), false)
		p.complete(time.Now(), f, k)
		c.happens(&p)
		if hit, _, _ := p.lookup("", key, 1, upTo(9), false); (hit != k) != c.stale {
			t.Errorf("%s after it was read: kept %v", c.name, hit == k)
		}
	}
}

// One node's answer is no other's.
func TestPagesOfNodes(t *testing.T) {
	p := newPages()
	key := hint(1, 0, 0).Key
	_, a, _ := p.lookup("a", key, 1, upTo(9), false)
	_, b, fresh := p.lookup("b", key, 1, upTo(9), false)
	if a == b || !fresh {
		t.Error("joined")
	}
	p.complete(time.Now(), a, &page{node: "a", key: key, from: 1, to: upTo(9)})
	if k, _, _ := p.lookup("a", key, 1, upTo(9), false); k == nil {
		t.Error("not kept")
	}
	if k, f, fresh := p.lookup("b", key, 1, upTo(9), false); k != nil || !fresh || f == b {
		t.Error("kept for another, or joined after another's answer")
	}
}

func TestAbandonedReadsAreNotJoined(t *testing.T) {
	p := newPages()
	key := hint(1, 0, 0).Key
	_, a, _ := p.lookup("", key, 1, upTo(9), false)
	_, b, _ := p.lookup("", key, 2, upTo(9), false)
	p.abandon(a)
	if _, f, fresh := p.lookup("", key, 1, upTo(9), false); !fresh || f == a {
		t.Error("joined")
	}
	if _, f, _ := p.lookup("", key, 2, upTo(9), false); f != b {
		t.Error("another one was abandoned, too")
	}
}

func TestPagesAreBounded(t *testing.T) {
	now := time.Unix(0, 0)
	keep := func(p *pages, n, bytes int, odd bool) bool {
		key := msg.Key{Aggregate: msg.IDFromUint64(uint64(n))}
		_, f, _ := p.lookup("", key, 1, upTo(9), false)
		k := pageOf(1)
		k.key, k.to = key, upTo(9)
		k.batches[0].Events[0].Value = make([]byte, bytes)
		if odd {
			k.batches = append(k.batches, k.batches[0])
		}
		p.complete(now, f, k)
		hit, _, _ := p.lookup("", key, 1, upTo(9), false)
		return hit == k
	}
	p := newPages()
	if !keep(&p, 0, 10, false) || keep(&p, 1, 10, true) || keep(&p, 2, pagesBytes/4, false) {
		t.Error("kept what is odd or large, or not what is not")
	}
	for i := range 3 * pagesCount {
		if !keep(&p, 10+i, 1, false) {
			t.Fatal("not kept")
		}
	}
	if len(p.order) != pagesCount || len(p.kept) != pagesCount {
		t.Errorf("%d pages are kept, %d of them of use", len(p.order), len(p.kept))
	}
	for i := range 100 {
		keep(&p, i, pagesBytes/8, false)
		if p.bytes > pagesBytes {
			t.Fatalf("%d bytes are kept", p.bytes)
		}
	}
	p.expire(now.Add(pageLife - 1))
	if len(p.kept) == 0 || !p.expiry().Equal(now.Add(pageLife)) {
		t.Error("gone too early")
	}
	p.expire(now.Add(pageLife))
	if len(p.kept)+len(p.order) > 0 || p.bytes != 0 || !p.expiry().IsZero() {
		t.Errorf("%d pages of %d bytes are left", len(p.kept), p.bytes)
	}
}
