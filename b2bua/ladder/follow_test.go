package ladder

import (
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/media"
)

// mirror is a follower that stores its messages.
type mirror struct {
	mu       sync.Mutex
	messages []Followed
	media    []Measured
}

func (m *mirror) Message(f Followed) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.messages = append(m.messages, f)
}

func (m *mirror) Media(f Measured) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.media = append(m.media, f)
}

// session is a media session whose figures increase with each call of Stats.
type session struct {
	mu sync.Mutex
	rx uint64
}

func (s *session) Stats() media.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rx += 250
	return media.Stats{A: media.SideStats{RxPackets: s.rx}}
}

func (*session) Local(side media.Side) netip.AddrPort {
	return netip.AddrPortFrom(netip.IPv4Unspecified(), 10000+2*uint16(side))
}

// A follower of the media gets the figures every five seconds and at the end, even if ladders are off.
func TestMediaFollower(t *testing.T) {
	for _, keep := range []func(*Call){nil, func(c *Call) { c.Release() }} {
		synctest.Test(t, func(t *testing.T) {
			m := &mirror{}
			s := New(Options{Followers: []Follower{m}, Keep: keep})
			c := s.Claim("call-1", "a@b", "tag", "carrier", time.Now())
			c.Traced("0af7651916cd43dd8448eb211c80319c")
			c.Watch(&session{})
			time.Sleep(17 * time.Second)
			synctest.Wait()
			if l, err := c.Ladder(); err != nil || l.TraceID != "0af7651916cd43dd8448eb211c80319c" || l.ID != "call-1" {
				t.Errorf("ladder %+v, %v", l, err)
			}
			c.Unwatch(media.Stats{A: media.SideStats{RxPackets: 9999}})
			time.Sleep(time.Minute)
			s.Shut()
			m.mu.Lock()
			defer m.mu.Unlock()
			if len(m.media) < 4 || len(m.media) > 5 {
				t.Fatalf("%d reports", len(m.media))
			}
			last := m.media[len(m.media)-1]
			if last.Call != "call-1" || last.Stats.A.RxPackets != 9999 || last.Local[media.SideB].Port() != 10002 {
				t.Errorf("the last one: %+v", last)
			}
		})
	}
}
