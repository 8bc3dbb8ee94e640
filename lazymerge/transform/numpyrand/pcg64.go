// Package numpyrand draws the numbers that numpy.random.default_rng draws.
package numpyrand

import "math/bits"

// Generator is numpy.random.default_rng(seed): PCG64, O'Neill's permuted congruential
// generator with 128 bits of state (XSL-RR).
type Generator struct {
	high, low       uint64 // state
	incHigh, incLow uint64

	half    uint32 // second half of a draw of which the first is used
	hasHalf bool
}

const multiplierHigh, multiplierLow = 2549297995355413924, 4865540595714422341

// New seeds a generator by numpy's SeedSequence.
func New(seed uint64) *Generator {
	s := spread(seed)
	g := &Generator{incHigh: s[2]<<1 | s[3]>>63, incLow: s[3]<<1 | 1}
	g.step()
	g.add(s[0], s[1])
	g.step()
	return g
}

func (g *Generator) add(high, low uint64) {
	var carry uint64
	g.low, carry = bits.Add64(g.low, low, 0)
	g.high, _ = bits.Add64(g.high, high, carry)
}

func (g *Generator) step() {
	high, low := bits.Mul64(g.low, multiplierLow)
	g.high = high + g.high*multiplierLow + g.low*multiplierHigh
	g.low = low
	g.add(g.incHigh, g.incLow)
}

// Uint64 is the next draw.
func (g *Generator) Uint64() uint64 {
	g.step()
	return bits.RotateLeft64(g.high^g.low, -int(g.high>>58))
}

// uint32 is the next half draw, the low one first.
func (g *Generator) uint32() uint32 {
	if g.hasHalf {
		g.hasHalf = false
		return g.half
	}
	x := g.Uint64()
	g.half, g.hasHalf = uint32(x>>32), true
	return uint32(x)
}

// within is the next draw of 0 to most, by Lemire's method.
func (g *Generator) within(most uint64) uint64 {
	n := most + 1
	switch {
	case n == 1:
		return 0
	case n == 1<<32:
		return uint64(g.uint32())
	case n < 1<<32:
		return uint64(g.within32(uint32(n)))
	}
	high, low := bits.Mul64(g.Uint64(), n)
	if low < n {
		for threshold := -n % n; low < threshold; {
			high, low = bits.Mul64(g.Uint64(), n)
		}
	}
	return high
}

func (g *Generator) within32(n uint32) uint32 {
	m := uint64(g.uint32()) * uint64(n)
	if uint32(m) < n {
		for threshold := -n % n; uint32(m) < threshold; {
			m = uint64(g.uint32()) * uint64(n)
		}
	}
	return uint32(m >> 32)
}

// upTo is the next draw of 0 to most as well: it draws as many bits as most has until
// the number is not above it.
func (g *Generator) upTo(most uint64) uint64 {
	mask := uint64(1)<<bits.Len64(most) - 1
	for {
		x := uint64(0)
		switch {
		case most == 0:
			return 0
		case most < 1<<32:
			x = uint64(g.uint32()) & mask
		default:
			x = g.Uint64() & mask
		}
		if x <= most {
			return x
		}
	}
}
