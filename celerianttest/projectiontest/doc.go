// Package projectiontest tests handlers and projections the way they are run: by
// the real operators and stores, against the in-process node.
//
//	func TestOrders(t *testing.T) {
//		projectiontest.Given(t, open, projectiontest.Batch(1, placed)).When(projectiontest.Batch(1, shipped)).Then("order 1 shipped")
//		projectiontest.Check(t, open, event, projectiontest.Options{})
//	}
//
// [Check] makes histories from a seed: writes to several aggregates, deletes and
// recreations, trims. Check runs each of them smoothly, and again with a restart, a
// lost cursor or a second owner after each step, and compares the rows. A projection
// that is not idempotent although it has to be, or that forgets Deleted and Reset,
// fails with the shortest history that shows it.
//
// [CheckRebuild] does the same for two versions: the new one is built beside the old one,
// takes its place, and is rolled back.
package projectiontest
