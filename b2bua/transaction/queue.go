package transaction

// queue is a heap of transactions by their deadlines.
type queue struct{ members []member }

// first returns the earliest deadline, or 0 if there is none.
func (q *queue) first() instant {
	if len(q.members) == 0 {
		return 0
	}
	return q.members[0].common().at
}

// move changes the deadline of a transaction; 0 means none.
func (q *queue) move(m member, at instant) {
	c := m.common()
	was := c.at
	c.at = at
	switch last := len(q.members) - 1; {
	case was == 0 && at == 0:
	case was == 0:
		c.place = len(q.members)
		q.members = append(q.members, m)
		q.up(c.place)
	case at == 0:
		place := c.place
		q.swap(place, last)
		q.members[last] = nil
		if q.members = q.members[:last]; place < last {
			q.restore(place)
		}
	default:
		q.restore(c.place)
	}
}

// restore moves the member at i to its right place.
func (q *queue) restore(i int) {
	if !q.down(i) {
		q.up(i)
	}
}

func (q *queue) up(i int) {
	for i > 0 && q.before(i, (i-1)/2) {
		q.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
}

func (q *queue) down(i int) (moved bool) {
	for {
		child := 2*i + 1
		if child+1 < len(q.members) && q.before(child+1, child) {
			child++
		}
		if child >= len(q.members) || !q.before(child, i) {
			return moved
		}
		q.swap(i, child)
		i, moved = child, true
	}
}

func (q *queue) before(i, k int) bool { return q.members[i].common().at < q.members[k].common().at }

func (q *queue) swap(i, k int) {
	q.members[i], q.members[k] = q.members[k], q.members[i]
	q.members[i].common().place, q.members[k].common().place = i, k
}
