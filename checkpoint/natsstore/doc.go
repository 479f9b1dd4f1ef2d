// Package natsstore keeps checkpoints in a JetStream stream of NATS.
//
//	conn, err := nats.Connect("nats://localhost:4222")
//	store, err := natsstore.Open(ctx, conn, natsstore.Options{})
//
// Each subscription has one subject of the stream, a journal (see package journal):
// every append names the sequence of the subject's last message, so that the server
// refuses an owner that does not know the newest claim. A key-value bucket with a key
// for each cursor could not do that: an update of one key says nothing about another.
//
// Nothing is saved together with effects: handle changes so that a repetition does no
// harm.
//
// # The stream
//
// Open creates it, on disk, if there is none. One that was made beforehand must have
// the subject "<stream>.>" alone, keep every message (no limit that discards old ones,
// no age), let messages be purged, and must not answer reads at replicas
// (allow_direct). The store needs the rights to subscribe to _INBOX.>, and to publish
// to these subjects and to $JS.API.STREAM.INFO, STREAM.MSG.GET, STREAM.PURGE,
// CONSUMER.CREATE, CONSUMER.DELETE and CONSUMER.MSG.NEXT of the stream; to STREAM.CREATE
// only to create it. A server does not answer what a user may not ask, so that a call
// without a right ends with its context.
//
// # Failures
//
// By default a server flushes what it stored to the disk every two minutes
// (sync_interval): one that loses its power may lose acknowledged saves, a stream of
// three replicas only if all of them do. Claims and cursors are then lost together, and
// owners of before stay fenced; see package journal. Set sync_interval to "always" to
// lose nothing.
package natsstore
