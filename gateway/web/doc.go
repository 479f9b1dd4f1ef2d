// Package web serves the event store to browsers: reads as JSON, and live changes
// as server-sent events. The handler only reads.
//
//	handler, err := web.NewHandler(client, web.Options{Hosts: []string{"events.example.com"}})
//	err = web.NewServer(handler).Serve(listener)
//
// GET /v1 describes the calls; the description is made from the table that also
// parses their parameters.
//
// # Resuming
//
// While a watch names at most 16 aggregates and nothing else, each event carries an
// id with the position of every one of them, and a browser that reconnects
// continues behind it: nothing is missing and nothing comes twice. Any other watch
// has no ids. A connection that does not continue has the event "restart" once the
// watch is live: what the page shows may be stale, and it must read its state anew.
//
// # Safety
//
// A browser sends requests for pages that have no right to them. Therefore: the
// Host header must be one of Options.Hosts, requests from other sites are refused,
// credentials are taken from the Authorization header only, never from cookies,
// certificates or the query, parameters that are not known are refused, and no
// request has an effect. EventSource cannot send headers; a page that needs a
// credential reads the stream with fetch.
package web
