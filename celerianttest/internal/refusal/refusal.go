package refusal

import (
	"encoding/json"

	"github.com/celeriant/celeriant-go/celerianttest/internal/shard"
	"github.com/celeriant/celeriant-go/msg"
)

// Refusal is the node's no to a request.
type Refusal = shard.Refusal

// New makes a refusal with a message that is JSON.
func New(code msg.Code, message string) *Refusal {
	return &Refusal{Code: code, Message: message}
}

// Quote returns s as a JSON text.
func Quote(s string) string {
	quoted, err := json.Marshal(s)
	if err != nil {
		return `""` // a string always marshals
	}
	return string(quoted)
}
