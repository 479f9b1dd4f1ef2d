// Package traces holds recordings of the reference server, in both protocol
// versions, and reads them. Recordings are the evidence the codec and the
// in-process node are tested against; nothing outside tests imports it.
//
// A recording is one scenario: the options the server ran with, and the steps
// of the client that talked to it, with every byte sent and received. The
// files are unedited but for one cut: the compression dictionary in the
// answers to Identify requests, whose steps therefore have no bytes.
//
// Some values differ from run to run of the same scenario and must be blanked
// before answers are compared: server timestamps (field 3 of a batch, 7 of a
// details answer, 12 of a list item), the order inside maps, sets and lists,
// keys, nonces and the client id derived from them, ports inside
// leader_address, and texts of schema errors. All times, and which changes
// share a watch frame under a latency, differ too.
package traces
