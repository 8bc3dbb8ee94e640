// Package kernel adds low-rank products to rows of weights:
//
//	out[i,:] = round(W[i,:] + scale * Σ_k B[i,k]·A[k,:])
//
// The one idea: the arithmetic is defined to the bit, so that every implementation
// (a Tier) gives the same file on every machine. For each step of 32 k, in fp32 with
// round to nearest even:
//
//	e   = chain of fused multiply-adds from 0 over the even k of the step
//	o   = the same over the odd k
//	acc = acc + (e + o)                  acc starts at +0
//	d   = scale * acc
//	out = round(W + d)                   Once
//	out = round(W + round(d))            Twice
//
// Where all products are exact in fp32 (16-bit adapters), a multiplication followed by
// an addition is the fused operation, and tiers may use it.
//
// Factors are packed before use: the right factor A once (Packer), the left factor B
// for each block of rows (Coeffs). Packing makes NaNs canonical and turns denormal
// values into zeros of the same sign, as matrix units read them.
//
// Callers keep a call short by passing at most BlockRows rows. Nothing here allocates
// once the buffers have grown, and nothing is retained. Dst and Src may be the same
// memory but may not overlap otherwise; neither has to be aligned. The package knows
// no tensor, no file and no adapter.
package kernel
