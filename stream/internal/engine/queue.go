package engine

// queue is a FIFO of lanes on a reused ring.
type queue struct {
	ring []*lane
	head int
	size int
}

func (q *queue) len() int { return q.size }

func (q *queue) push(l *lane) {
	if q.size == len(q.ring) {
		grown := make([]*lane, max(16, 2*len(q.ring)))
		for i := range q.size {
			grown[i] = q.ring[(q.head+i)%len(q.ring)]
		}
		q.ring, q.head = grown, 0
	}
	q.ring[(q.head+q.size)%len(q.ring)] = l
	q.size++
}

func (q *queue) pop() *lane {
	l := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) % len(q.ring)
	q.size--
	return l
}
