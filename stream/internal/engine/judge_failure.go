package engine

// failure judges a refusal, or the want of an answer.
func (s *situation) failure(f *Failure) verdict {
	switch f.Kind {
	case NotFound:
		if !f.Authoritative {
			return verdict{action: askLeader}
		}
		return verdict{action: gone}
	case BelowFloor:
		return s.belowFloor(f)
	case Silent, TooLarge:
		return s.unanswered(f)
	case Refused:
		return verdict{action: refused}
	}
	return verdict{action: pause}
}

func (s *situation) belowFloor(f *Failure) verdict {
	switch {
	case s.read.stage == confirm || s.read.stage == probe:
		return s.floorShown(f)
	case s.read.stage == skip:
		return s.anew() // trimmed meanwhile
	case s.read.stage == succeed:
		return s.nextLife(false)
	case f.Minimum <= s.read.from || f.Minimum > maxVersion:
		return verdict{action: distrust} // no answer to this read
	case !f.Authoritative:
		// A node that lags may name the floor of an earlier life.
		return verdict{action: askLeader}
	case s.read.stage == begin:
		return verdict{action: noBatch, certain: true} // all that is left is new
	}
	return verdict{action: trimmed, version: f.Minimum}
}

// floorShown judges the floor as the answer to a confirm or a probe: where it has
// passed the cursor it stands for the batch there.
func (s *situation) floorShown(f *Failure) verdict {
	sameLife := s.known.floored() && f.Minimum >= s.known.floor && s.known.trusted()
	// Whether the life at the floor is the cursor's is what that read was to tell.
	atFloor := s.read.resumes && f.Minimum == s.read.skipFrom
	switch {
	case s.anchorless() && f.Minimum <= s.known.cursor.Version:
		// The floor was above the cursor: only a recreation takes it back.
		return s.onOtherLife(f.Authoritative)
	case s.read.stage == confirm && sameLife:
		return s.heldPage(new(pages))
	case s.read.stage == probe && f.Minimum <= s.probed && (sameLife || atFloor || s.read.to.Value == 0 && !s.anchorless()):
		return verdict{action: silent}
	}
	// Trimmed meanwhile, or created or deleted since the floor was named, so
	// that it may be another life's.
	return s.anew()
}

// anew begins the pass anew at the cursor.
func (s *situation) anew() verdict { return verdict{action: proceed, read: s.read.anew()} }

// unanswered narrows the range of a read that the node did not answer, or whose
// answer is too large for this client, down to one version; a single version
// that stays unanswered is unreadable. So may be the batch at the cursor, if it
// is another one by now. The node itself may be what is silent: a probe tells.
func (s *situation) unanswered(f *Failure) verdict {
	r, tooLarge := s.read, f.Kind == TooLarge
	switch {
	case r.stage == succeed:
		return s.nextLife(false)
	case r.stage == probe && r.to.Value == 0 && f.Answered:
		return verdict{action: refused}
	case r.stage == probe && r.to.Value == 0:
		return verdict{action: pause}
	case r.stage == confirm || r.stage == probe:
		return s.suspectSilence(s.known.cursor.Version, tooLarge)
	case r.stage == begin:
		return s.suspectSilence(r.from, tooLarge)
	}
	if version, ok := r.single(&s.known); ok {
		return s.suspectSilence(version, tooLarge)
	}
	if tooLarge && r.window > 1 {
		r.window /= 2
	} else {
		r.window = 1
	}
	if r.stage == resume && r.window == 1 {
		// With the cursor's own batch in it the page holds two: leave that out.
		if r.from > 1 {
			r.stage, r.skipFrom = skip, s.known.cursor.Version+1
		} else {
			r.stage = first
		}
	}
	r.searchUp = r.searchUp || r.openEnd
	r.openEnd = false
	if tooLarge {
		return verdict{action: proceed, read: r}
	}
	return verdict{action: later, read: r}
}

func (s *situation) suspectSilence(version uint64, tooLarge bool) verdict {
	return verdict{
		action: suspectSilence, version: version, read: s.read.at(probe),
		certain: tooLarge && s.read.scannedTo == 0,
	}
}
