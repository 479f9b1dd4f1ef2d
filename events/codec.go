package events

import "encoding/json"

// Codec makes payloads of values of type T, and values of payloads. The codec must
// be safe for concurrent use, and must neither keep nor change a payload it is
// given.
type Codec[T any] interface {
	Marshal(value T) ([]byte, error)
	Unmarshal(payload []byte) (T, error)
}

// jsonCodec is encoding/json. Members that T does not have are ignored.
type jsonCodec[T any] struct{}

func (jsonCodec[T]) Marshal(value T) ([]byte, error) { return json.Marshal(value) }

func (jsonCodec[T]) Unmarshal(payload []byte) (value T, err error) {
	err = json.Unmarshal(payload, &value)
	return value, err
}
