// Command release makes a version of every module of this repository.
//
//	go run ./internal/release v0.3.0
//
// Nested modules find each other by replace lines while they are developed, and users
// have neither those nor the workspace. A release therefore is a commit of its own: in
// dependency order each go.mod loses its replace lines and requires this version of its
// neighbours, and go.sum gets their checksums. The commit is tagged once for each module
// (v0.3.0, checkpoint/sqlstore/v0.3.0, …), and a second commit brings back the replace
// lines. Nothing is pushed: look at both commits, then push them with the tags.
//
// The command refuses a working tree with changes, a version that is no semantic version
// with a leading v, one that does not come after the newest tag, and one that
// CHANGELOG.md has no section for.
//
// The test of this package makes a release of the present commit into a file-system
// module proxy, and then uses each module and installs the tool from an empty folder,
// without a workspace and without a network.
package main
