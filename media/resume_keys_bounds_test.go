package media

import "testing"

// TestImpossibleNumbersOfKeys: a state whose packet numbers can't be right is refused, because under its key numbers
// would be used twice.
func TestImpossibleNumbersOfKeys(t *testing.T) {
	many := func(n int) []numberState { return make([]numberState, n) }
	for _, tt := range []struct {
		name             string
		streams, reports []numberState
		ok               bool
	}{
		{"none", nil, nil, true},
		{"the highest RTP number with room for the reserve", []numberState{{Top: 1<<48 - reservedRTP - 1}}, nil, true},
		{"an RTP number without that room", []numberState{{Top: 1<<48 - reservedRTP}}, nil, false},
		{"the whole reserve of RTP", []numberState{{Top: 7, Bound: 7 + reservedRTP}}, nil, true},
		{"more than the reserve of RTP", []numberState{{Top: 7, Bound: 7 + reservedRTP + 1}}, nil, false},
		{"the highest RTCP number", nil, []numberState{{Top: srtcpEncrypted - reservedRTCP - 1}}, true},
		{"an RTCP number without room", nil, []numberState{{Top: srtcpEncrypted - reservedRTCP}}, false},
		{"more than the reserve of RTCP", nil, []numberState{{Bound: reservedRTCP + 1}}, false},
		{"as many sources as there may be", many(maxSources), many(maxSources), true},
		{"too many of RTP", many(maxSources + 1), nil, false},
		{"too many of RTCP", nil, many(maxSources + 1), false},
		{"the second of two", []numberState{{Top: 1}, {Top: 1 << 48}}, nil, false},
	} {
		k := keyState{Keys: *testKeys(SuiteAESCM128SHA80, 1), Streams: tt.streams, Reports: tt.reports}
		if err := k.check(); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	k := keyState{Keys: Keys{Suite: SuiteAESCM128SHA80}}
	if k.check() == nil {
		t.Error("keys that are none are taken")
	}
}
