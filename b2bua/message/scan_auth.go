package message

import "bytes"

// takeCredentials finds the nonce in credentials. There may be more credentials, for
// other realms.
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

// Called returns the user of the Request-URI as it was sent, but without parameters. For
// a tel URI it is the number.
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
