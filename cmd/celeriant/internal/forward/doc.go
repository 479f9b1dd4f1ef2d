// Package forward posts the changes of a subscription to an HTTP service: the event-driven
// consumer without code behind "celeriant forward".
//
// A change of several events is posted event by event, in order. An event that the
// service has answered is not posted again when a later event of the same change fails, as long as the
// process lives; across processes the header Idempotency-Key tells the service.
//
// [judge] decides what an answer means: 2xx is handled, what passes by itself is
// tried again, and everything else parks the aggregate.
package forward
