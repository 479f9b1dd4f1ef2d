package engine_test

// The defects of the sums that statistics, CaughtUp and the word of nodes rest on.
func init() {
	defects = append(defects,
		defect{"a notification is not counted", "fold.go", "\te.touch(l)\n\tl.work", "\tif !$ {\n\t\te.touch(l)\n\t}\n\tl.work"},
		defect{"a page is not counted", "apply.go", "\te.touch(l)\n\te.answeredBy(", "\tif !$ {\n\t\te.touch(l)\n\t}\n\te.answeredBy("},
		defect{"a failed read is not counted", "apply.go", "\te.touch(l)\n\tl.work.phase, l.read.watched", "\tif !$ {\n\t\te.touch(l)\n\t}\n\tl.work.phase, l.read.watched"},
		defect{"a commit is not counted", "engine.go", "\t\te.touch(l)\n", "\t\tif !$ {\n\t\t\te.touch(l)\n\t\t}\n"},
		defect{"a look-up is not counted", "schedule.go", "\te.touch(l)\n\tl.work.doubting = false\n", "\tif !$ {\n\t\te.touch(l)\n\t}\n\tl.work.doubting = false\n"},
		defect{"a pass that begins is not counted", "schedule.go", "\te.touch(l)\n\tl.work.phase, l.work.dirty", "\tif !$ {\n\t\te.touch(l)\n\t}\n\tl.work.phase, l.work.dirty"},
		defect{"what is forgotten goes on to count", "fold.go", "\te.uncount(l)\n", "\tif !$ {\n\t\te.uncount(l)\n\t}\n"},
		defect{"versions behind are added up", "counts.go", "c.behind += behind - n.behind", "if !$ {\n\t\tc.behind -= n.behind\n\t}\n\tc.behind += behind"},
		defect{"unhandled versions are added up", "counts.go", "c.unhandled += unhandled - n.unhandled", "if !$ {\n\t\tc.unhandled -= n.unhandled\n\t}\n\tc.unhandled += unhandled"},
		defect{"what is handled is pending for ever", "counts.go", "c.pending.stop(l)\n", "if !$ {\n\t\t\tc.pending.stop(l)\n\t\t}\n"},
		defect{"a shard is listed for ever", "counts.go", "c.listing += oneIf(listing)", "c.listing += max(oneIf(listing), oneIf($))"},
		defect{"a listed aggregate counts for ever", "counts.go", "c.listed += listed - n.listed", "if c.listed += listed; !$ {\n\t\tc.listed -= n.listed\n\t}"},
		defect{"a page of a list is not counted", "reconcile.go", "\tsh := e.shards[shardID]\n\te.stir(sh)\n", "\tsh := e.shards[shardID]\n\tif !$ {\n\t\te.stir(sh)\n\t}\n"},
		defect{"the lag of a follower is told for ever", "counts.go", "c.lagging.stop(&n.lagging)\n", "if !$ {\n\t\t\tc.lagging.stop(&n.lagging)\n\t\t}\n"},
		defect{"a lag that begins is told later", "follow.go", "\te.stir(sh)\n\tf.behind, f.key", "\tif !$ {\n\t\te.stir(sh)\n\t}\n\tf.behind, f.key"},
		defect{"a shard is settled twice", "counts.go", "if settled != sh.settled {", "if settled != sh.settled || $ {"},
		defect{"a link that was discarded stands for ever", "rescope.go", "\te.countLink(l)\n", "\tif !$ {\n\t\te.countLink(l)\n\t}\n"},
		defect{"a link that moved stands at both nodes", "counts.go", "\te.addLink(l.counted, -1)\n", "\tif !$ {\n\t\te.addLink(l.counted, -1)\n\t}\n"},
		defect{"a node that leads and was disputed tells nothing new", "follow.go", "&& n.disputed == 0 &&", "&& ($ || n.disputed == 0) &&"},
		defect{"a node that leads tells nothing new at first", "follow.go", "n.leading == n.links &&", "($ || n.leading == n.links) &&"},
		defect{"a leader is not left for a follower that may be asked for again", "follow.go", "&& !e.opts.Followers && e.shardCounts", "&& ($ || !e.opts.Followers) && e.shardCounts"},
		defect{"some disputed links stand for all", "follow.go", "if n.disputed < n.links {", "if !$ && n.disputed < n.links {"},
		defect{"a cursor that was committed during the look-up of its page is outdated", "fold.go", "\t\tsh.looking.outdate(l.key)\n", "\t\tif !$ {\n\t\t\tsh.looking.outdate(l.key)\n\t\t}\n"},
	)
}
