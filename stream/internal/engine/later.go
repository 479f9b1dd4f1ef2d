package engine

import (
	"container/heap"
	"time"
)

// timer is a place among what is looked at again later: that of a lane, which waits
// before its next read, or of a shard, of which something is due.
type timer struct {
	at    time.Time
	order uint64
	place int // in the queue, from 1; 0 for none
	lane  *lane
	shard *shard
}

// timers is one queue of all that waits for time, earliest first. No step goes
// through what waits.
type timers struct {
	queue []*timer
	order uint64
}

func (q *timers) Len() int { return len(q.queue) }

func (q *timers) Less(i, j int) bool {
	a, b := q.queue[i], q.queue[j]
	if a.at.Equal(b.at) {
		return a.order < b.order
	}
	return a.at.Before(b.at)
}

func (q *timers) Swap(i, j int) {
	q.queue[i], q.queue[j] = q.queue[j], q.queue[i]
	q.queue[i].place, q.queue[j].place = i+1, j+1
}

// Push and Pop are the heap's.
func (q *timers) Push(x any) {
	t := x.(*timer)
	q.queue = append(q.queue, t)
	t.place = len(q.queue)
}

func (q *timers) Pop() any {
	last := len(q.queue) - 1
	t := q.queue[last]
	q.queue[last] = nil
	q.queue, t.place = q.queue[:last], 0
	return t
}

// set has t due at a time.
func (q *timers) set(t *timer, at time.Time) {
	if t.place > 0 {
		if t.at.Equal(at) {
			return
		}
		t.at = at
		heap.Fix(q, t.place-1)
		return
	}
	q.order++
	t.at, t.order = at, q.order
	heap.Push(q, t)
}

// stop takes t out of the queue.
func (q *timers) stop(t *timer) {
	if t.place > 0 {
		heap.Remove(q, t.place-1)
	}
}

// due takes out the earliest timer that is due; nil when there is none.
func (q *timers) due(now time.Time) *timer {
	if len(q.queue) == 0 || q.queue[0].at.After(now) {
		return nil
	}
	return heap.Pop(q).(*timer)
}

// next is when the earliest is due, zero when there is none.
func (q *timers) next() time.Time {
	if len(q.queue) == 0 {
		return time.Time{}
	}
	return q.queue[0].at
}
