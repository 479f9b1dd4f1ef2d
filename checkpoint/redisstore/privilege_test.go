//go:build redis

package redisstore_test

import (
	"errors"
	"testing"

	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"github.com/celeriant/celeriant-go/checkpoint/redisstore"
	"github.com/redis/go-redis/v9"
)

// rights are those that the documentation tells, of a prefix.
func rights(prefix string) []any {
	return []any{"~" + prefix + "*", "&" + prefix + "*", "+@connection", "+@read", "+@write", "+@pubsub", "+@scripting", "-@dangerous", "+info", "+time"}
}

// The suite as a user that may do no more than the documentation says.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	server := own(t)
	admin := connect(t, server.Address)
	user := append([]any{"ACL", "SETUSER", "consumer", "reset", "on", ">secret"}, rights("test")...)
	if err := admin.Do(t.Context(), user...).Err(); err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: server.Address, Username: "consumer", Password: "secret"})
	defer client.Close()
	checkpointtest.Run(t, fixtures(client))
	var answer redis.Error
	if _, err := redisstore.Open(t.Context(), client, redisstore.Options{Prefix: "other:"}); err != nil {
		t.Fatal(err)
	}
	if err := client.Set(t.Context(), "other:key", "", 0).Err(); !errors.As(err, &answer) {
		t.Fatalf("writing outside of the prefix: %v, want a refusal", err)
	}
}
