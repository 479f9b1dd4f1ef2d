// Package status is a web page for the person on call: is every consumer live, how far
// behind is it, why is it stuck, what is parked, what will a restart repeat.
//
//	page := status.New(status.Options{})
//	page.Watch(sub)                     // any running subscription
//	http.Handle("/status/", http.StripPrefix("/status", page))
//
// The page leads with one sentence and lists the consumers, the worst first, each with
// its cause in words and what happens next. The page says nothing that is not
// committed: unhandled and oldest pending are measured at the commit.
//
// # What it serves
//
//   - / is the page. The page needs no script, and updates by itself where there is one.
//   - /events is the stream of server-sent events behind it.
//   - /status.json is the same snapshot as JSON; the sentences in it are those of the page.
//   - /healthz answers 200 while the process can answer at all, and looks at nothing else: a
//     store that is away is no reason to restart a fleet.
//   - /readyz answers 200 once every consumer has opened and caught up once and none has
//     ended, else 503 with the reason. Lag counts only with Options.ReadyLag, and what
//     Options.Ready says.
//   - /actions/… changes something, see Options.Actions. Without it no action exists.
//
// Nothing is fetched from elsewhere: scripts and styles are part of the package. Text that
// comes from handlers and nodes is cut to 300 characters and escaped, and keys are shown,
// never payloads.
package status
