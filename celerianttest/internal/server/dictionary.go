package server

import "strings"

// Dictionary returns the node's own compression dictionary: raw
// content, the texts event payloads are usually made of. zstd looks for
// matches from the end, so what is most likely comes last.
func Dictionary() []byte {
	var text strings.Builder
	for _, word := range []string{
		"Created", "Updated", "Deleted", "Cancelled", "Completed", "Started", "Failed", "Shipped", "Paid", "Opened", "Closed",
	} {
		text.WriteString(`{"type":"` + word + `","status":"` + strings.ToLower(word) + `"}`)
	}
	for _, field := range []string{
		"address", "amount", "carrier", "city", "country", "currency", "customer", "date", "delay", "description", "destination",
		"distance", "email", "flight", "order", "origin", "price", "product", "quantity", "reason", "tail", "total", "user",
	} {
		text.WriteString(`{"` + field + `":"","` + field + `_id":0,"` + field + `":null,`)
	}
	text.WriteString(`"year":2013,"month":1,"day":1,"hour":0,"minute":0,"created_at":"2013-01-01T00:00:00Z","updated_at":"2024-12-31T23:59:59.999Z",`)
	text.WriteString(`"items":[{"id":1,"name":"","count":1},{"id":2,"name":"","count":2}],"active":true,"deleted":false,`)
	text.WriteString(`"version":1,"timestamp":1700000000000,"id":"00000000-0000-0000-0000-000000000000","name":"","value":"","data":{}}`)
	return []byte(text.String())
}
