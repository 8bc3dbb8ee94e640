package numpyrand

// poolSize is that of numpy's SeedSequence, in words.
const poolSize = 4

// hash is one of SeedSequence's running hashes.
type hash struct{ value, times uint32 }

func (h *hash) mix(x uint32) uint32 {
	x ^= h.value
	h.value *= h.times
	x *= h.value
	return x ^ x>>16
}

// spread is numpy.random.SeedSequence(seed).generate_state(4, numpy.uint64).
func spread(seed uint64) (state [4]uint64) {
	in := hash{0x43b0d7e5, 0x931e8875}
	pool := [poolSize]uint32{uint32(seed), uint32(seed >> 32)}
	for i := range pool {
		pool[i] = in.mix(pool[i])
	}
	for from := range pool {
		for to := range pool {
			if from == to {
				continue
			}
			x := 0xca01f9dd*pool[to] - 0x4973f715*in.mix(pool[from])
			pool[to] = x ^ x>>16
		}
	}
	out := hash{0x8b51f9dd, 0x58f38ded}
	for i := range 2 * len(state) {
		state[i/2] |= uint64(out.mix(pool[i%poolSize])) << (32 * (i % 2))
	}
	return state
}
