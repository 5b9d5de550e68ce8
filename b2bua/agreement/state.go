package agreement

import (
	"slices"

	"flowbridge/b2bua/sdp"
	"flowbridge/media"
)

// State is an agreement as plain data. A description is named by its place in
// Described, from 1; 0: none.
type State struct {
	Described   []sdp.DescriptionState `cbor:"1,keyasint,omitempty"`
	Offer       int                    `cbor:"2,keyasint,omitempty"`
	Late        bool                   `cbor:"3,keyasint,omitempty"`
	Answer      []byte                 `cbor:"4,keyasint,omitempty"`
	SentTo      [2]sdp.FormatStates    `cbor:"5,keyasint,omitempty"`
	Told        [2]sdp.FormatStates    `cbor:"6,keyasint,omitempty"`
	Codec       [2]sdp.CodecState      `cbor:"7,keyasint,omitempty"`
	CodecName   string                 `cbor:"8,keyasint,omitempty"`
	Description [2]int                 `cbor:"9,keyasint,omitempty"`
	StreamOrder [2]int                 `cbor:"10,keyasint,omitempty"`
	Offers      int                    `cbor:"12,keyasint,omitempty"`
	Former      [2]sdp.CodecState      `cbor:"13,keyasint,omitempty"`
}

// State returns the agreement as plain data, with room for what is described.
func (a *Agreement) State(room []sdp.DescriptionState) State {
	all := make([]*sdp.Description, 0, 5) // of each place below
	place := func(d *sdp.Description) int {
		if d == nil {
			return 0
		}
		i := slices.Index(all, d)
		if i < 0 {
			i, all = len(all), append(all, d)
		}
		return i + 1
	}
	k := State{
		Offer: place(a.Offer), Late: a.Late, Answer: a.Answer, CodecName: a.CodecName, Offers: a.offers,
		Described: room,
	}
	for _, side := range [2]media.Side{media.SideA, media.SideB} {
		k.Description[side], k.StreamOrder[side] = place(a.Description[side]), place(a.StreamOrder[side])
		k.SentTo[side], k.Told[side] = a.SentTo[side], a.Told[side]
		k.Codec[side], k.Former[side] = sdp.CodecState(a.Codec[side]), sdp.CodecState(a.Former[side])
	}
	for _, d := range all {
		k.Described = append(k.Described, d.State())
	}
	return k
}

// HasStandIn reports whether a codec stands for another one of a side in the call, or was offered to.
func (s *State) HasStandIn() bool {
	for side := range s.SentTo {
		if s.SentTo[side].HasStandIn() || s.Told[side].HasStandIn() {
			return true
		}
	}
	return slices.ContainsFunc(s.Described, func(d sdp.DescriptionState) bool {
		return d.Formats.HasStandIn() || d.Former.HasStandIn()
	})
}

// Restore makes the agreement of a state. Exchanges that were under way are over.
func Restore(k *State) Agreement {
	all := make([]*sdp.Description, 0, len(k.Described))
	for i := range k.Described {
		all = append(all, sdp.RestoreDescription(&k.Described[i]))
	}
	at := func(place int) *sdp.Description {
		if place < 1 || place > len(all) {
			return nil
		}
		return all[place-1]
	}
	a := Agreement{
		Offer: at(k.Offer), Late: k.Late, Answer: k.Answer, CodecName: k.CodecName, offers: k.Offers,
	}
	for _, side := range [2]media.Side{media.SideA, media.SideB} {
		a.Description[side], a.StreamOrder[side] = at(k.Description[side]), at(k.StreamOrder[side])
		a.SentTo[side], a.Told[side] = k.SentTo[side], k.Told[side]
		a.Codec[side], a.Former[side] = sdp.Codec(k.Codec[side]), sdp.Codec(k.Former[side])
	}
	return a
}
