package checkpoint

import "context"

// SignalPrefix begins the keys of the store's records that say of which
// subscription the records changed: "signal/<name>".
const SignalPrefix = "signal/"

// Signal tells the owners of a subscription to look at its records: every
// process reads the signals with its heartbeat. The process that stores a request
// calls it afterwards; the requests of this package do.
func Signal(ctx context.Context, store RecordStore, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	value := encodeRecord(struct {
		Format int   `json:"format"`
		Token  Token `json:"token"`
	}{recordFormat, NewToken()})
	return store.Apply(ctx, "", Mutation{Records: []RecordChange{{Key: SignalPrefix + name, Value: value, Any: true}}})
}
