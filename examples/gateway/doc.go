// Command gateway shows the event store to a browser and to other languages: it
// runs a node in this process, a gateway before it, and a writer of orders.
//
//	go run ./examples/gateway
//
// The program prints the address of a page that shows the orders live (page.html), and the
// address for gRPC clients. The Python client beside it (client.py) keeps counts
// of the orders' events in SQLite, each event exactly once, however often it is
// killed and started again; its position lies in its own database:
//
//	pip install grpcio grpcio-tools
//	python -m grpc_tools.protoc -I gateway/proto --python_out=stubs --grpc_python_out=stubs gateway/proto/celeriant/gateway/v1/*.proto
//	PYTHONPATH=stubs python examples/gateway/client.py GATEWAY counts.db ORGANISATION TYPE
package main
