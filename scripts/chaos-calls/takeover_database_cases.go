package main

func (t *takeover) databaseAway(l *lab) error      { return nil }
func (t *takeover) databaseFailsOver(l *lab) error { return nil }
func (t *takeover) cost(l *lab) error              { return nil }
