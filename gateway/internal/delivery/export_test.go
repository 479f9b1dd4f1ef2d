package delivery

// Remembered is how many deliveries the account holds in memory.
func (l *Ledger) Remembered() int { return len(l.items) + len(l.stragglers) }
