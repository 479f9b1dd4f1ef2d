package conn

import (
	"strings"

	"github.com/celeriant/celeriant-go/msg"
)

// redacted stands where an API key was.
const redacted = "[redacted]"

// refusal is the error for a node's refusal; should the node repeat the API key, it
// is taken out.
func (c *Conn) refusal(answer *msg.ErrorResponse) error {
	if c.secret != "" && strings.Contains(answer.Message, c.secret) {
		answer.Message = strings.ReplaceAll(answer.Message, c.secret, redacted)
	}
	return msg.NewServerError(answer, c.Node())
}
