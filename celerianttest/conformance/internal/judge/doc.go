// Package judge finds in a record which guarantees were broken. The judge knows nothing
// of the server and of the library: a record that was written long ago is judged alike.
package judge
