package stream

// mostAtWork is how many do at a time that have to take turns.
const mostAtWork = 2

// turns let few at a time do something that is not urgent: each has a goroutine while it
// waits for an answer, and thousands of subscriptions may do so for each of many shards.
// Subscription.step guards the fields.
type turns struct {
	atWork  int
	waiting []func()
}

// enter calls start, now or in its turn. Each that was started must leave.
func (t *turns) enter(start func()) {
	if t.atWork == mostAtWork {
		t.waiting = append(t.waiting, start)
		return
	}
	t.atWork++
	start()
}

// leave has the next one start.
func (t *turns) leave() {
	if len(t.waiting) == 0 {
		t.atWork--
		t.waiting = nil
		return
	}
	next := t.waiting[0]
	t.waiting[0] = nil
	t.waiting = t.waiting[1:]
	next()
}
