package kernel

import (
	"math"
	"slices"
)

// vectors are functions over plain runs of values, whose number n is a multiple of
// lineup. Those that round return how many values they have done: the next lineup hold
// a result that is not finite, and are untouched.
type vectors struct {
	load    [3]func(dst *float32, src *byte, n int) // by DType, as the next two
	store   [3]func(dst *byte, src *float32, n int, by float32) int
	add     [3]func(dst, src *byte, delta *float32, n int, by float32) int
	mul     func(dst, by *float32, n int)
	squares func(sums *float64, src *float32, n int)
	finite  func(src *float32, n int) int
	product func(dst, left, right *float32, inner, n, stride int)
	note    func(to *note, src *float32, n int)
}

// lineup is the number of values that vectors do at a time, longestRun the most in a
// call, which bounds the time in assembly.
const (
	lineup     = 16
	longestRun = 1 << 15
)

// run is the number of values for the next call, of n that are left.
func run(n int) int { return min(n, longestRun) &^ (lineup - 1) }

// Load widens the elements of src.
func Load(dst []float32, src []byte, t DType) {
	src = src[:t.Size()*len(dst)]
	if v := Default.vectors; v != nil {
		for n := run(len(dst)); n > 0; n = run(len(dst)) {
			v.load[t](&dst[0], &src[0], n)
			dst, src = dst[n:], src[n*t.Size():]
		}
	}
	load(dst, src, t)
}

// Store rounds the values of src to nearest even and tells whether all results are
// finite.
func Store(dst []byte, src []float32, t DType) bool { return StoreScaled(dst, src, 1, t) }

// StoreScaled is Store of the values times by.
func StoreScaled(dst []byte, src []float32, by float32, t DType) bool {
	dst = dst[:t.Size()*len(src)]
	ok := true
	if v := Default.vectors; v != nil {
		for n := run(len(src)); n > 0; n = run(len(src)) {
			done := v.store[t](&dst[0], &src[0], n, by)
			if done < n {
				n = done + lineup
				ok = store(dst[done*t.Size():], src[done:n], by, t) && ok
			}
			dst, src = dst[n*t.Size():], src[n:]
		}
	}
	return store(dst, src, by, t) && ok
}

// AddScaled fills dst with src + by·delta, rounded once, and returns the first element
// that was finite and is no longer, or -1.
func AddScaled(dst, src []byte, delta []float32, by float32, t DType) int {
	bad, at, size := -1, 0, t.Size()
	slow := func(n int) {
		i := firstLost(dst[at*size:], src[at*size:], delta[at:at+n], by, t)
		if i >= 0 && bad < 0 {
			bad = at + i
		}
		at += n
	}
	if v := Default.vectors; v != nil {
		dst, src = dst[:size*len(delta)], src[:size*len(delta)]
		for n := run(len(delta)); n > 0; n = run(len(delta) - at) {
			done := v.add[t](&dst[at*size], &src[at*size], &delta[at], n, by)
			at += done
			if done < n {
				slow(lineup)
			}
		}
	}
	slow(len(delta) - at)
	return bad
}

func firstLost(dst, src []byte, delta []float32, by float32, t DType) int {
	size, bad := t.Size(), -1
	for j := range delta {
		if !add(dst[j*size:(j+1)*size], src[j*size:(j+1)*size], delta[j:j+1], by, t) && bad < 0 {
			bad = j
		}
	}
	return bad
}

// Mul multiplies the values of dst by those of by.
func Mul(dst, by []float32) {
	by = by[:len(dst)]
	if v := Default.vectors; v != nil {
		for n := run(len(dst)); n > 0; n = run(len(dst)) {
			v.mul(&dst[0], &by[0], n)
			dst, by = dst[n:], by[n:]
		}
	}
	for j, x := range by {
		dst[j] *= x
	}
}

// Squares is the sum of the squares in fp64: the j-th of 16 sums has every 16th value
// from the j-th on, and the halves of the sums are added until one is left. It uses the
// memory of sums.
func Squares(sums *[lineup]float64, src []float32) float64 {
	clear(sums[:])
	if v := Default.vectors; v != nil {
		for n := run(len(src)); n > 0; n = run(len(src)) {
			v.squares(&sums[0], &src[0], n)
			src = src[n:]
		}
	}
	for len(src) > 0 {
		n := min(lineup, len(src))
		for j, x := range src[:n] {
			sums[j] += float64(x) * float64(x) // the square is exact
		}
		src = src[n:]
	}
	for n := lineup / 2; n > 0; n /= 2 {
		for j := range n {
			sums[j] += sums[j+n]
		}
	}
	return sums[0]
}

// Finite tells whether no value is NaN or infinite.
func Finite(src []float32) bool {
	if v := Default.vectors; v != nil {
		for n := run(len(src)); n > 0; n = run(len(src)) {
			if v.finite(&src[0], n) < n {
				return false
			}
			src = src[n:]
		}
	}
	return !slices.ContainsFunc(src, func(x float32) bool {
		return math.Float32bits(x)&expF32 == expF32
	})
}

// Product sets dst to left times the matrix right, whose rows are as long as dst. Each
// sum begins at +0 and adds rounded products one after another. It suits small matrices;
// see AddLowRank.
func Product(dst, left, right []float32) {
	cols, done := len(dst), 0
	right = right[:len(left)*cols]
	if v := Default.vectors; v != nil && len(left) > 0 && len(right) <= longestRun*lineup {
		if done = cols &^ (lineup - 1); done > 0 {
			v.product(&dst[0], &left[0], &right[0], len(left), done, cols)
		}
	}
	clear(dst[done:])
	for k, x := range left {
		row := right[k*cols : (k+1)*cols]
		for j := done; j < cols; j++ {
			dst[j] += float32(x * row[j])
		}
	}
}
