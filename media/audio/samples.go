package audio

// Encode encodes samples into codes, and returns how many.
func (l Law) Encode(codes []byte, samples []int16) int {
	n := min(len(codes), len(samples))
	encode := EncodeULaw
	if l == ALaw {
		encode = EncodeALaw
	}
	for i, v := range samples[:n] {
		codes[i] = encode(v)
	}
	return n
}

// Decode decodes codes into samples, and returns how many.
func (l Law) Decode(samples []int16, codes []byte) int {
	n := min(len(codes), len(samples))
	table := &uLawTable
	if l == ALaw {
		table = &aLawTable
	}
	for i, code := range codes[:n] {
		samples[i] = table[code]
	}
	return n
}
