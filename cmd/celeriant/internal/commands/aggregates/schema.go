package aggregates

import (
	"encoding/base64"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/node"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// languages are the schema languages by the names of --language.
var languages = map[string]msg.SchemaType{"json": msg.SchemaJSON, "avro": msg.SchemaAvro, "protobuf": msg.SchemaProtobuf}

const registerHelp = `Register the schema of one event type, from a file or from standard input, for
good: there is no second version of it. From then on the node refuses events of
this type that do not match.

For protobuf the file is a FileDescriptorSet as protoc --descriptor_set_out
writes it, and --message the full name of the message.

A time-out may be a refusal in disguise: a node cannot send an explanation that
is too long.`

// NewSchema returns the command schema.
func NewSchema() *cobra.Command {
	return cli.NewGroup("schema", "Register schemas", newSchemaRegister())
}

func newSchemaRegister() *cobra.Command {
	c := &cobra.Command{
		Use:     "register [FILE]",
		Short:   "Register the schema of an event type",
		Long:    registerHelp,
		Example: "  celeriant schema register --org 1 --type 1 --major 3 --language json order.schema.json",
		Args:    cli.UsageArgs(cobra.MaximumNArgs(1)),
	}
	org, kind := cli.BindID(c, "org", "organisation"), cli.BindID(c, "type", "aggregate type")
	major, minor := cli.BindNumber(c, "major", "major event type"), cli.BindNumber(c, "minor", "minor event type (default 0)")
	language := c.Flags().String("language", "", "json, avro or protobuf")
	message := c.Flags().String("message", "", "full name of the message, for protobuf")
	cli.CompleteOnly(c, "language", "json", "avro", "protobuf")
	cli.CompleteNothing(c, "message")
	by, s := node.BindAuthor(c), node.BindSession(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		schemaType, known := languages[*language]
		switch {
		case !org.Given.Set || !kind.Given.Set:
			return cli.Usagef("--org and --type are required")
		case major.Given.Value == 0:
			return cli.Usagef("--major is required and at least 1")
		case !known:
			return cli.Usagef("--language is %q, want json, avro or protobuf", *language)
		case (*message != "") != (schemaType == msg.SchemaProtobuf):
			return cli.Usagef("--message belongs to --language protobuf, which needs it")
		}
		text, err := schemaText(c, args, *message)
		if err != nil {
			return err
		}
		key := msg.SchemaKey{Org: org.Given.Value, Type: kind.Given.Value, Major: major.Given.Value, Minor: minor.Given.Value}
		return s.Do(c.Context(), func(client *pool.Pool) error {
			clientID := by.ClientID(s)
			err := client.RegisterSchema(c.Context(), &msg.RegisterSchemaRequest{
				ClientID: clientID, UserID: by.User.Given, Key: key, SchemaType: schemaType, Schema: text,
			})
			if err != nil {
				return fmt.Errorf("schema of %v/%v %d.%d: %w", key.Org, key.Type, key.Major, key.Minor, err)
			}
			return s.Print(c, registered{key.Org, key.Type, key.Major, key.Minor, *language, clientID},
				fmt.Sprintf("registered the %s schema of %v/%v %d.%d\n", *language, key.Org, key.Type, key.Major, key.Minor))
		})
	}
	return c
}

// registered is the JSON of an acknowledged registration.
type registered struct {
	Org      msg.ID `json:"org"`
	Type     msg.ID `json:"type"`
	Major    uint64 `json:"major"`
	Minor    uint64 `json:"minor"`
	Language string `json:"language"`
	ClientID msg.ID `json:"client_id"`
}

// schemaText reads a schema and gives a descriptor the form of the protocol:
// base64, a colon and the name of the message.
func schemaText(c *cobra.Command, args []string, message string) (string, error) {
	in, err := input(c, args)
	if err != nil {
		return "", err
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, pool.DefaultMaxRequestSize+1))
	if err != nil {
		return "", fmt.Errorf("reading the schema: %w", err)
	}
	if len(text) > pool.DefaultMaxRequestSize {
		return "", fmt.Errorf("the schema has more than %d bytes", pool.DefaultMaxRequestSize)
	}
	if message == "" {
		return string(text), nil
	}
	return base64.StdEncoding.EncodeToString(text) + ":" + message, nil
}
