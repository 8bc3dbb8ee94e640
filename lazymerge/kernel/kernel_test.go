package kernel_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"lorafs/lazymerge/kernel"
)

var dtypes = []kernel.DType{kernel.BF16, kernel.F16, kernel.F32}

// Masks of the significant bits of factors.
const (
	brain = 0xffff0000 // bf16
	short = 0xffffe000 // fp16
	full  = 0xffffffff
)

// eachTier runs f with every tier that this machine has as the default.
func eachTier(t *testing.T, f func(t *testing.T)) {
	before := kernel.Default
	defer func() { kernel.Default = before }()
	for _, tier := range kernel.Tiers {
		if tier.Available() {
			kernel.Default = tier
			t.Run(tier.Name, f)
		}
	}
}

func (c *testCase) check(t testing.TB, r kernel.Rounding) {
	t.Helper()
	args := c.args()
	args.Rounding = r
	bad := kernel.AddLowRank(&args)
	wantBad := -1
	for i := range c.rows {
		for j := range c.cols {
			n := i*c.cols + j
			got, want := at(args.Dst, n, c.dtype), c.oracle(i, j, r)
			if !same(got, want) {
				t.Fatalf("dtype %v, rounding %v, %d×%d rank %d, element (%d,%d): got %g, want %g",
					c.dtype, r, c.rows, c.cols, c.rank, i, j, got, want)
			}
			if w := at(c.src, n, c.dtype); wantBad < 0 && w-w == 0 && want-want != 0 {
				wantBad = i
			}
		}
	}
	if bad != wantBad {
		t.Fatalf("first row that is not finite: got %d, want %d", bad, wantBad)
	}
}

func TestShapes(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		ranks := []int{1, 2, 3, 5, 8, 15, 16, 31, 32, 33, 47, 63, 64, 65, 127, 200, 256}
		for i, rank := range ranks {
			for _, cols := range []int{1, 3, 4, 7, 13 + i} {
				for _, mask := range []uint32{brain, short, full} {
					c := newCase(r, 1+i%4, cols, rank, dtypes[(i+cols)%3], mask)
					c.check(t, kernel.Rounding(i%2))
				}
			}
		}
	})
}

// TestWide crosses the kernel's own blocks of columns.
func TestWide(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, d := range dtypes {
			newCase(r, 3, 1031, 3, d, brain).check(t, kernel.Once)
			newCase(r, 2, 517, 70, d, full).check(t, kernel.Twice)
		}
	})
}

// TestBitPatterns draws operands from all bit patterns, and from those that round in a
// special way.
func TestBitPatterns(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		for n := range 400 {
			c := newCase(r, 2, 9, 1+n%7, dtypes[n%3], full)
			for i := range c.src {
				c.src[i] = byte(r.Uint32())
			}
			draw := patterns[n%len(patterns)]
			for i := range c.a {
				c.a[i] = draw(r)
			}
			for i := range c.b {
				c.b[i] = draw(r)
			}
			c.pack()
			c.check(t, kernel.Rounding(n/3%2))
		}
	})
}

var patterns = []func(r *rand.Rand) float32{
	func(r *rand.Rand) float32 { return math.Float32frombits(r.Uint32()) },
	func(r *rand.Rand) float32 { return math.Float32frombits(r.Uint32() & brain) },
	// Products of few bits and of very different sizes: ties at every step.
	func(r *rand.Rand) float32 { return float32(math.Ldexp(float64(r.IntN(31)-15), r.IntN(30)-15)) },
	func(r *rand.Rand) float32 { return float32(math.Ldexp(float64(r.IntN(1<<13)-1<<12), r.IntN(14)-7)) },
	// Products around the least normal value.
	func(r *rand.Rand) float32 { return float32(math.Ldexp(r.Float64()-0.5, -62-r.IntN(6))) },
	func(r *rand.Rand) float32 { return float32(math.Ldexp(r.Float64()-0.5, -74)) },
	// Products around the greatest.
	func(r *rand.Rand) float32 { return float32(math.Ldexp(r.Float64()-0.5, 64)) },
	func(r *rand.Rand) float32 { return []float32{0, float32(math.Copysign(0, -1)), 1, -1}[r.IntN(4)] },
	func(r *rand.Rand) float32 {
		return []float32{0, float32(math.Inf(1)), float32(math.NaN()), 1, -2}[r.IntN(5)]
	},
}

// TestZeroDelta adds nothing to every 16-bit pattern: denormals and infinities stay.
func TestZeroDelta(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		for _, d := range []kernel.DType{kernel.BF16, kernel.F16} {
			c := newCase(rand.New(rand.NewPCG(1, 1)), 16, 4096, 4, d, full)
			clear(c.b)
			for i := range 1 << 16 {
				binary.LittleEndian.PutUint16(c.src[2*i:], uint16(i))
			}
			args := c.args()
			if bad := kernel.AddLowRank(&args); bad >= 0 {
				t.Errorf("dtype %v: row %d reported as not finite", d, bad)
			}
			for i := range 1 << 16 {
				got, want := at(args.Dst, i, d), at(c.src, i, d)+0
				if !same(got, want) {
					t.Fatalf("dtype %v: %#x became %g, want %g", d, i, got, want)
				}
			}
		}
	})
}

func TestInPlaceAndUnaligned(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		for _, d := range dtypes {
			c := newCase(r, 3, 21, 5, d, full)
			args := c.args()
			kernel.AddLowRank(&args)
			want := bytes.Clone(args.Dst)
			for shift := 1; shift < 9; shift++ {
				b := make([]byte, len(c.src)+16)
				mine := b[shift : shift+len(c.src)]
				copy(mine, c.src)
				args.Dst, args.Src = mine, mine
				kernel.AddLowRank(&args)
				if !bytes.Equal(mine, want) {
					t.Fatalf("dtype %v, in place at offset %d: another result", d, shift)
				}
				if b[shift-1] != 0 || b[shift+len(mine)] != 0 {
					t.Fatalf("dtype %v, in place at offset %d: wrote outside", d, shift)
				}
			}
		}
	})
}

func TestSumRows(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 9))
		for _, d := range dtypes {
			c := newCase(r, 3, 530, 7, d, full)
			args := c.args()
			got := make([]float32, c.rows*c.cols)
			kernel.SumRows(got, &args)
			for n, x := range got {
				want := float32(at(c.src, n, d)) + float32(c.scale*c.oracleSum(n/c.cols, n%c.cols))
				if x != want {
					t.Fatalf("dtype %v, element %d: got %g, want %g", d, n, x, want)
				}
			}
		}
	})
}

// TestError bounds the distance to the exact sum.
func TestError(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(10, 11))
		for _, rank := range []int{1, 7, 16, 64, 255} {
			c := newCase(r, 8, 64, rank, kernel.F32, full)
			clear(c.src)
			c.scale = 1
			args := c.args()
			kernel.AddLowRank(&args)
			for n := range c.rows * c.cols {
				exact, size := 0.0, 0.0
				for k := range rank {
					p := float64(c.b[n/c.cols*rank+k]) * float64(c.a[k*c.cols+n%c.cols])
					exact, size = exact+p, size+math.Abs(p)
				}
				if e := math.Abs(at(args.Dst, n, kernel.F32) - exact); e > size*float64(rank+1)*0x1p-24 {
					t.Fatalf("rank %d, element %d: off by %g of %g", rank, n, e, size)
				}
			}
		}
	})
}

// TestColumnsAndRows packs the same factors both ways.
func TestColumnsAndRows(t *testing.T) {
	for _, rank := range []int{1, 6, 33} {
		c := newCase(rand.New(rand.NewPCG(1, 9)), 5, 19, rank, kernel.BF16, full)
		args := c.args()
		kernel.AddLowRank(&args)
		want := bytes.Clone(args.Dst)
		p := kernel.NewPacker(c.packed, rank, c.cols)
		col := make([]float32, rank)
		for j := range c.cols {
			for k := range rank {
				col[k] = c.a[k*c.cols+j]
			}
			p.Column(j, col)
		}
		p.Finish()
		args.A = kernel.View(c.packed, rank, c.cols)
		c.coeffs.Reset(c.rows, rank)
		left := make([]float32, c.rows)
		for k := range rank {
			for i := range left {
				left[i] = c.b[i*rank+k]
			}
			c.coeffs.Column(k, left)
		}
		kernel.AddLowRank(&args)
		if !bytes.Equal(args.Dst, want) {
			t.Errorf("rank %d: packed by columns gives another result", rank)
		}
	}
}

func TestStore(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 3))
	for _, d := range dtypes {
		for range 200_000 {
			x := math.Float32frombits(r.Uint32())
			if r.IntN(2) == 0 {
				x = float32(math.Ldexp(float64(r.IntN(1<<14)), r.IntN(40)-30))
			}
			var b [4]byte
			finite := kernel.Store(b[:d.Size()], []float32{x}, d)
			got, want := at(b[:], 0, d), oracleRound(x, d)
			if !same(got, want) || finite != (want-want == 0) {
				t.Fatalf("dtype %v: %g became %g (finite %v), want %g", d, x, got, finite, want)
			}
			var back [1]float32
			kernel.Load(back[:], b[:d.Size()], d)
			if !same(float64(back[0]), want) {
				t.Fatalf("dtype %v: %g read back as %g", d, want, back[0])
			}
		}
	}
}

func TestAllocations(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		for _, mask := range []uint32{full, brain} {
			c := newCase(rand.New(rand.NewPCG(2, 2)), 9, 601, 16, kernel.BF16, mask)
			args := c.args()
			sums := make([]float32, c.rows*c.cols)
			if n := testing.AllocsPerRun(10, func() {
				c.fill(&args, 0, c.rows)
				kernel.AddLowRank(&args)
				kernel.SumRows(sums, &args)
			}); n != 0 {
				t.Errorf("%g allocations a call", n)
			}
		}
	})
}

// TestNegativeZero tells the orders apart: products below the least denormal become
// -0, which only the pairwise order loses in its sum that begins at +0.
func TestNegativeZero(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		for _, rank := range []int{4, 5, 36, 131} {
			for _, rough := range []bool{false, true} {
				c := newCase(rand.New(rand.NewPCG(2, 2)), 7, 70, rank, kernel.BF16, brain)
				c.scale = 1
				for i := range c.a {
					c.a[i] = 0x1p-100
				}
				for i := range c.b {
					c.b[i] = -0x1p-100
					if rough {
						c.b[i] *= 1 + 0x1p-20
					}
				}
				for i := range c.rows * c.cols {
					binary.LittleEndian.PutUint16(c.src[2*i:], 0x8000)
				}
				c.pack()
				args := c.args()
				kernel.AddLowRank(&args)
				want := uint16(0)
				if rough {
					want = 0x8000
				}
				for i := range c.rows * c.cols {
					if got := binary.LittleEndian.Uint16(args.Dst[2*i:]); got != want {
						t.Fatalf("rank %d, rough %v: element %d: got %#x, want %#x", rank, rough, i, got, want)
					}
				}
			}
		}
	})
}

// TestTinyProducts has chains that pass through denormal numbers on their way to
// results that do not.
func TestTinyProducts(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 2))
		for n := range 60 {
			c := newCase(r, 6, 64, 8, kernel.F32, brain)
			for i := range c.a {
				c.a[i] = float32(math.Ldexp(float64(c.a[i]), -50-n%20))
			}
			for i := range c.b {
				c.b[i] = float32(math.Ldexp(float64(c.b[i]), -60))
			}
			clear(c.src)
			c.pack()
			c.check(t, kernel.Once)
		}
	})
}

// TestLeastProducts has sums around the least normal number: of two products that differ
// by one in their last places.
func TestLeastProducts(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(4, 2))
		for n := range 64 {
			c := newCase(r, 5, 70, []int{3, 4, 8, 33}[n%4], kernel.F32, brain)
			c.scale = 0x1p100
			clear(c.a)
			clear(c.b)
			clear(c.src)
			x, first := 130+r.IntN(125), r.IntN(c.rank-2)
			for j := range c.cols {
				c.a[first*c.cols+j] = float32(math.Ldexp(float64(x), -50-n%5))
				c.a[(first+2)*c.cols+j] = float32(math.Ldexp(float64(x+1), -50-n%5))
			}
			for i := range c.rows { // x² - (x-1)·(x+1) is 1
				c.b[i*c.rank+first] = float32(math.Ldexp(float64(x), -80+n/5))
				c.b[i*c.rank+first+2] = float32(math.Ldexp(float64(1-x), -80+n/5))
			}
			c.pack()
			c.check(t, kernel.Once)
		}
	})
}

func TestLastTierIsPureGo(t *testing.T) {
	last := kernel.Tiers[len(kernel.Tiers)-1]
	if last.Name != "go" || !last.Available() {
		t.Errorf("last tier is %q, available %v", last.Name, last.Available())
	}
}

func FuzzAddLowRank(f *testing.F) {
	f.Add([]byte("seed of thirty-two bytes, or more"), uint8(3), uint8(5), uint8(0), float32(0.5))
	f.Add(bytes.Repeat([]byte{0x7f, 0x80, 1, 0}, 40), uint8(33), uint8(2), uint8(3), float32(-2))
	f.Add(bytes.Repeat([]byte{0, 0, 0x80, 0x3f, 0xff, 0xff, 0x7f, 0x3f}, 9), uint8(2), uint8(9), uint8(5), float32(1))
	f.Fuzz(func(t *testing.T, data []byte, rank, cols, mode uint8, scale float32) {
		c := &testCase{rows: 2, cols: 1 + int(cols%24), rank: 1 + int(rank%70), dtype: dtypes[mode%3], scale: scale}
		word := func(i int) uint32 {
			var w [4]byte
			for j := range w {
				if len(data) > 0 {
					w[j] = data[(4*i+j)%len(data)]
				}
			}
			return binary.LittleEndian.Uint32(w[:])
		}
		n := 0
		for range c.rank * c.cols {
			c.a = append(c.a, math.Float32frombits(word(n)))
			n++
		}
		for range c.rows * c.rank {
			c.b = append(c.b, math.Float32frombits(word(n)))
			n++
		}
		for len(c.src) < c.rows*c.cols*c.dtype.Size() {
			c.src = binary.LittleEndian.AppendUint32(c.src, word(n))
			n++
		}
		c.src = c.src[:c.rows*c.cols*c.dtype.Size()]
		c.pack()
		c.check(t, kernel.Rounding(mode/3%2))
	})
}

func ExampleAddLowRank() {
	weights := []float32{1, 2, 3, 4} // 2×2
	src, dst := make([]byte, 16), make([]byte, 16)
	kernel.Store(src, weights, kernel.F32)

	packed := aligned(int(kernel.PackSize(1, 2)))
	p := kernel.NewPacker(packed, 1, 2)
	p.Row(0, 0, []float32{10, 20}) // A
	p.Finish()
	var b kernel.Coeffs
	b.Reset(2, 1)
	b.Column(0, []float32{1, 2})

	kernel.AddLowRank(&kernel.Args{
		Dst: dst, Src: src, DType: kernel.F32,
		A: kernel.View(packed, 1, 2), B: &b, Scale: 0.5,
	})
	kernel.Load(weights, dst, kernel.F32)
	fmt.Println(weights)
	// Output: [6 12 13 24]
}
