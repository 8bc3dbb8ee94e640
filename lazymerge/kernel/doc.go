// Package kernel adds low-rank products to rows of weights:
//
//	out[i,:] = round(W[i,:] + scale * Σ_k B[i,k]·A[k,:])
//
// The one idea: the arithmetic is defined to the bit, so that every implementation
// (a Tier) gives the same file on every machine. In fp32 with round to nearest even:
//
//	acc = Σ_k B[i,k]·A[k,:]              in one of two orders
//	d   = scale * acc
//	out = round(W + d)                   Once
//	out = round(W + round(d))            Twice
//
// The pairwise order, which matrix units can follow, is for values that are bf16: for
// each step of 32 k
//
//	e   = chain of fused multiply-adds from +0 over the even k of the step
//	o   = the same over the odd k
//	acc = acc + (e + o)                  acc starts at +0
//
// The chain order is for all other values. It is what torch's matrix product does on a
// CPU (MKL, measured with 2.15 on matrices of some size), so that the delta of an fp32
// adapter is PEFT's to the bit: one chain of fused multiply-adds from +0 over all k up
// to a rank of 192; two chains over the halves, added, up to 384; above that, chains
// over 192 k each, added from the left.
//
// A row follows the pairwise order if all of A and all of this row of B are bf16 values
// that are not denormal. So the order does not depend on how rows are grouped in calls.
//
// Factors are packed before use: the right factor A once (Packer), the left factor B
// for each block of rows (Coeffs). Packing makes NaNs canonical. Assembly gives up a
// tile with a result that is not finite, and pure Go computes it: that finds overflows
// and makes NaNs equal, too.
//
// Beside products there are loops over plain runs of values (vector.go): conversions,
// scaled additions, elementwise products, sums of squares.
//
// Nothing here allocates once the buffers have grown, and nothing is retained. Dst and
// Src may be the same memory but may not overlap otherwise; neither has to be aligned.
// The package knows no tensor, no file and no adapter.
package kernel
