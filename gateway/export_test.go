package gateway

// ReadAhead bounds the payload bytes read ahead of the client of a stream that reads
// history, QueuedFrames the messages that wait for its transport.
const (
	ReadAhead    = readAhead
	QueuedFrames = queuedFrames
)

// Held returns, for each subscription at work, the payload bytes that are read ahead of
// its client, and the messages that wait for its transport.
func (s *Server) Held() (bytes []int64, messages []int) {
	for _, ses := range s.running() {
		sub := ses.subscription()
		if sub == nil {
			continue
		}
		ses.out.mu.Lock()
		messages = append(messages, len(ses.out.data))
		ses.out.mu.Unlock()
		bytes = append(bytes, sub.Stats().Buffered)
	}
	return bytes, messages
}
