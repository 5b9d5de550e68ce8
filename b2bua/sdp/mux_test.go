package sdp

import "testing"

func TestMuxesOfADescription(t *testing.T) {
	for _, d := range []*Description{nil, {}} {
		if d.Muxes() {
			t.Errorf("%+v", d)
		}
	}
}
