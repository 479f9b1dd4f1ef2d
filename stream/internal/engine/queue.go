package engine

// queue is a FIFO on a reused ring.
type queue[T any] struct {
	ring []T
	head int
	size int
}

func (q *queue[T]) len() int { return q.size }

func (q *queue[T]) push(x T) {
	if q.size == len(q.ring) {
		grown := make([]T, max(16, 2*len(q.ring)))
		for i := range q.size {
			grown[i] = q.ring[(q.head+i)%len(q.ring)]
		}
		q.ring, q.head = grown, 0
	}
	q.ring[(q.head+q.size)%len(q.ring)] = x
	q.size++
}

func (q *queue[T]) pop() T {
	var none T
	x := q.ring[q.head]
	q.ring[q.head] = none
	q.head = (q.head + 1) % len(q.ring)
	q.size--
	return x
}
