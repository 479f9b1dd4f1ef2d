package msg_test

import (
	"errors"
	"fmt"

	"github.com/celeriant/celeriant-go/msg"
)

func ExampleParseID() {
	id, err := msg.ParseID("01020304-0506-0708-090a-0b0c0d0e0f10")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(id.Hex(), id.Int())
	// Output: 0102030405060708090a0b0c0d0e0f10 1339673755198158349044581307228491536
}

func ExampleServerError() {
	err := fmt.Errorf("booking the seat: %w", msg.NewServerError(&msg.ErrorResponse{
		Code:    msg.CodeVersionConflict,
		Message: `{"expected_version":3,"current_aggregate_version":5}`,
	}, "127.0.0.1:10000"))

	var refused *msg.ServerError
	if errors.Is(err, msg.ErrConflict) && errors.As(err, &refused) {
		fmt.Println("someone was faster: version", refused.Fields.CurrentVersion)
	}
	// Output: someone was faster: version 5
}

func ExampleOpt() {
	filters := msg.ReadFilters{From: 1, To: msg.Some(uint64(0))}
	to, bounded := filters.To.Get()
	fmt.Println(to, bounded, filters.MinEventSeq)
	// Output: 0 true none
}
