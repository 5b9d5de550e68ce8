package whatsapp

import (
	"net/netip"
	"testing"

	"github.com/pion/stun/v3"
)

var business = netip.MustParseAddrPort("192.0.2.1:24000")

func newLite() *lite {
	return &lite{ufrag: "meta", password: "0123456789012345678901", peer: "flow"}
}

// check returns a check with these attributes instead of, or in addition to, those of a good one.
func check(name, password string, more ...stun.Setter) []byte {
	all := append([]stun.Setter{stun.TransactionID, stun.BindingRequest, stun.NewUsername(name)}, more...)
	return build(append(all, stun.NewShortTermIntegrity(password), stun.Fingerprint)...)
}

func attribute(a stun.AttrType, value ...byte) stun.Setter {
	return stun.RawAttribute{Type: a, Value: value}
}

var (
	priority    = attribute(stun.AttrPriority, 0x6e, 0, 1, 0xff)
	controlling = attribute(stun.AttrICEControlling, 1, 2, 3, 4, 5, 6, 7, 8)
	nominates   = attribute(stun.AttrUseCandidate)
)

// A lite agent answers good checks, is moved by a nomination, and says what is wrong with other checks.
func TestChecks(t *testing.T) {
	const password = "0123456789012345678901"
	for name, tt := range map[string]struct {
		check []byte
		code  stun.ErrorCode // 0: success
		moved bool
	}{
		"good":              {check("meta:flow", password, priority, controlling), 0, false},
		"nominates":         {check("meta:flow", password, priority, controlling, nominates), 0, true},
		"wrong password":    {check("meta:flow", "x", priority, controlling, nominates), stun.CodeUnauthorized, false},
		"wrong own ufrag":   {check("else:flow", password, priority, controlling), stun.CodeUnauthorized, false},
		"wrong peer ufrag":  {check("meta:else", password, priority, controlling), stun.CodeUnauthorized, false},
		"controlled":        {check("meta:flow", password, priority, attribute(stun.AttrICEControlled, 1, 2, 3, 4, 5, 6, 7, 8), nominates), stun.CodeRoleConflict, false},
		"no role":           {check("meta:flow", password, priority), stun.CodeBadRequest, false},
		"no priority":       {check("meta:flow", password, controlling), stun.CodeBadRequest, false},
		"unknown attribute": {check("meta:flow", password, priority, controlling, attribute(0x7001, 1)), stun.CodeUnknownAttribute, false},
		"no integrity": {
			build(stun.TransactionID, stun.BindingRequest, stun.NewUsername("meta:flow"), priority, controlling, stun.Fingerprint), stun.CodeBadRequest, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLite()
			m := &stun.Message{Raw: l.answer(tt.check, business)}
			if err := m.Decode(); err != nil {
				t.Fatal(err)
			}
			if l.checks.Chosen.IsValid() != tt.moved {
				t.Errorf("chosen %v", l.checks.Chosen)
			}
			if tt.code != 0 {
				var got stun.ErrorCodeAttribute
				if err := got.GetFrom(m); err != nil || m.Type != stun.BindingError || got.Code != tt.code || l.checks.Refused[int(tt.code)] != 1 {
					t.Errorf("answered %v %v, %v; counted %v", m.Type, got, err, l.checks)
				}
				return
			}
			var mapped stun.XORMappedAddress
			if err := mapped.GetFrom(m); err != nil || m.Type != stun.BindingSuccess || mapped.String() != business.String() || l.checks.Answered != 1 {
				t.Errorf("answered %v, mapped %v, %v", m.Type, mapped, err)
			}
			if err := m.Check(stun.NewShortTermIntegrity(password), stun.Fingerprint); err != nil {
				t.Error(err)
			}
		})
	}
}

// What is no check gets no answer.
func TestNoChecks(t *testing.T) {
	for name, b := range map[string][]byte{
		"garbage":        {0, 1, 2, 3},
		"no fingerprint": build(stun.TransactionID, stun.BindingRequest, stun.NewUsername("meta:flow")),
		"an indication":  build(stun.TransactionID, stun.NewType(stun.MethodBinding, stun.ClassIndication), stun.Fingerprint),
	} {
		if l := newLite(); l.answer(b, business) != nil || l.checks.Dropped != 1 {
			t.Errorf("%s: %+v", name, l.checks)
		}
	}
}

// FuzzChecks: no datagram moves the audio without the password.
func FuzzChecks(f *testing.F) {
	f.Add(check("meta:flow", "another password, 22..", priority, controlling, nominates))
	f.Add([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42})
	f.Fuzz(func(t *testing.T, b []byte) {
		l := newLite()
		l.answer(b, business)
		if l.checks.Chosen.IsValid() || l.checks.Answered > 0 {
			t.Errorf("%x is answered as a check", b)
		}
	})
}
