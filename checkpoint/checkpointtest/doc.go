// Package checkpointtest is the conformance suite of checkpoint stores: the
// rules of checkpoint.Store, each as a test of its own.
//
// A store passes it with one call in its tests:
//
//	checkpointtest.Run(t, func(t testing.TB) checkpointtest.Fixture {
//		dir := t.TempDir()
//		return checkpointtest.Fixture{
//			Open:    func(ctx context.Context) (checkpoint.Store, error) { return mystore.Open(ctx, dir) },
//			Durable: true,
//		}
//	})
//
// Each rule gets a fixture of its own, so rules do not see each other's
// cursors. The suite's own tests hold stores against it that break one rule
// each, and require that rule to fail.
package checkpointtest
