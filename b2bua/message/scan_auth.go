package message

import "bytes"

// takeCredentials finds the nonce of credentials. There may be others for other realms.
func (s *Scanned) takeCredentials(value []byte) {
	s.Authorized = true
	value = Trim(value)
	list := value[min(len("Digest"), len(value)):]
	for len(list) > 0 && s.Nonce == nil {
		one, rest, _ := CutUnquoted(list, ',')
		name, quoted, _ := CutByte(one, '=')
		nonce := bytes.Trim(Trim(quoted), `"`)
		if EqualFold(Trim(name), "nonce") && len(nonce) == challengeLen {
			s.Nonce = nonce
		}
		list = rest
	}
}

// Called returns the user of the Request-URI without its parameters, as it was sent; of a
// tel URI the number.
func (s *Scanned) Called() []byte {
	scheme, user, _ := CutByte(s.uri, ':')
	if !EqualFold(scheme, "tel") {
		var found bool
		if user, _, found = CutByte(user, '@'); !found {
			return nil
		}
		user, _, _ = CutByte(user, ':')
	}
	user, _, _ = CutByte(user, ';')
	return user
}
