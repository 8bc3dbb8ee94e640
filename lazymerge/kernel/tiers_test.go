package kernel_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"lorafs/lazymerge/kernel"
)

func pure() *kernel.Tier { return kernel.Tiers[len(kernel.Tiers)-1] }

// assembled are the tiers to hold against pure Go.
func assembled() []*kernel.Tier {
	return slices.DeleteFunc(slices.Clone(kernel.Tiers), func(t *kernel.Tier) bool {
		return t == pure() || !t.Available()
	})
}

// TestRequiredTiers fails where a tier named in LORAFS_TEST_REQUIRE is missing.
func TestRequiredTiers(t *testing.T) {
	for _, name := range strings.Split(os.Getenv("LORAFS_TEST_REQUIRE"), ",") {
		if slices.Contains(kernel.Names, name) {
			before := kernel.Default
			if err := kernel.Select(name); err != nil {
				t.Error(err)
			}
			kernel.Default = before
		}
	}
}

// compare runs a case with a tier and with pure Go, which must agree in every byte.
func compare(t testing.TB, tier *kernel.Tier, c *testCase, rounding kernel.Rounding, shift int) {
	t.Helper()
	args := c.args()
	args.Rounding = rounding
	want := args.Dst
	wantBad := pure().AddLowRank(&args)
	where := func() string {
		return fmt.Sprintf("%s: dtype %d, rounding %d, %d×%d rank %d, shift %d",
			tier.Name, c.dtype, rounding, c.rows, c.cols, c.rank, shift)
	}

	args.Src = shifted(c.src, shift)
	args.Dst = shifted(bytes.Repeat([]byte{0x5a}, len(want)), 64-shift)
	if bad := tier.AddLowRank(&args); bad != wantBad {
		t.Fatalf("%s: first bad row %d, want %d", where(), bad, wantBad)
	}
	if i := differ(args.Dst, want); i >= 0 {
		n := i / c.dtype.Size()
		t.Fatalf("%s: element (%d,%d): got %g, want %g", where(), n/c.cols, n%c.cols, at(args.Dst, n, c.dtype), at(want, n, c.dtype))
	}
	if !bytes.Equal(args.Src, c.src) {
		t.Fatalf("%s: changed the weights", where())
	}
	args.Dst = args.Src
	tier.AddLowRank(&args)
	if !bytes.Equal(args.Dst, want) {
		t.Fatalf("%s: another result in place", where())
	}
	compareSums(t, tier, c)
}

func compareSums(t testing.TB, tier *kernel.Tier, c *testCase) {
	t.Helper()
	args := c.args()
	got, want := make([]float32, c.rows*c.cols), make([]float32, c.rows*c.cols)
	tier.SumRows(got, &args)
	pure().SumRows(want, &args)
	for i := range got {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: dtype %d, %d×%d rank %d: sum %d: got %g, want %g",
				tier.Name, c.dtype, c.rows, c.cols, c.rank, i, got[i], want[i])
		}
	}
}

// shifted is a copy of b at an address that is by more than a multiple of 64.
func shifted(b []byte, by int) []byte {
	out := aligned(len(b) + 64)[by : by+len(b)]
	copy(out, b)
	return out
}

func differ(x, y []byte) int {
	for i := range x {
		if x[i] != y[i] {
			return i
		}
	}
	return -1
}

func TestTiers(t *testing.T) {
	for _, tier := range assembled() {
		t.Run(tier.Name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(21, 22))
			n := 0
			for rank := 1; rank <= 256; rank += 1 + rank/12 {
				for _, mask := range []uint32{brain, short, full} {
					rows, cols := 1+n%33, 1+(n*37)%200
					c := newCase(r, rows, cols, rank, dtypes[n%3], mask)
					compare(t, tier, c, kernel.Rounding(n/3%2), n*2%64)
					n++
				}
			}
			for _, rank := range []int{191, 192, 193, 200, 384, 385, 400, 577} {
				compare(t, tier, newCase(r, 7, 165, rank, kernel.BF16, full), kernel.Once, 2)
				compare(t, tier, newCase(r, 4, 100, rank, kernel.F32, brain), kernel.Once, 4)
			}
		})
	}
}

// TestEveryRank takes bf16 factors of every rank. One weight is infinite, and so is one
// result.
func TestEveryRank(t *testing.T) {
	for _, tier := range assembled() {
		t.Run(tier.Name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(37, 38))
			for rank := 1; rank <= 256; rank++ {
				c := newCase(r, 1+r.IntN(33), 1+r.IntN(200), rank, dtypes[rank%3], brain)
				size := c.dtype.Size()
				for _, exponent := range []byte{0x7f, 0xff} { // infinite, or a NaN
					n := size * r.IntN(c.rows*c.cols)
					c.src[n+size-1], c.src[n+size-2] = exponent, 0x80
				}
				compare(t, tier, c, kernel.Rounding(rank/3%2), 2+rank*2%61)
			}
		})
	}
}

// TestTierRowsAndColumns takes every number of rows and every width of the last tile.
func TestTierRowsAndColumns(t *testing.T) {
	for _, tier := range assembled() {
		t.Run(tier.Name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(23, 24))
			for i := 1; i <= 33; i++ {
				for _, mask := range []uint32{brain, full} {
					for _, d := range dtypes {
						compare(t, tier, newCase(r, i, 64+2*i, 5, d, mask), kernel.Twice, 2*i%64)
						compare(t, tier, newCase(r, 3, 2*i-1, 3, d, mask), kernel.Once, 2*i%64)
					}
				}
			}
		})
	}
}

// TestTierRepacked gives other factors, in the same memory, to the same Coeffs.
func TestTierRepacked(t *testing.T) {
	for _, tier := range assembled() {
		t.Run(tier.Name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(35, 36))
			c := newCase(r, 9, 200, 19, kernel.BF16, brain)
			for range 5 {
				for i := range c.a {
					c.a[i] = float32(r.IntN(255) - 127)
				}
				c.pack()
				compare(t, tier, c, kernel.Once, 0)
				compare(t, tier, c, kernel.Once, 0)
			}
		})
	}
}

// TestTierMixed gives rows of both orders to one call.
func TestTierMixed(t *testing.T) {
	for _, tier := range assembled() {
		t.Run(tier.Name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(25, 26))
			for n := range 30 {
				c := newCase(r, 20, 150, 40, dtypes[n%3], brain)
				for i := range c.rows {
					if r.IntN(3) == 0 {
						c.b[i*c.rank+r.IntN(c.rank)] = 0.1
					}
				}
				compare(t, tier, c, kernel.Rounding(n%2), 0)
			}
		})
	}
}

// TestBlocking gives the rows of a product to calls of every size.
func TestBlocking(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(27, 28))
		c := newCase(r, 24, 70, 37, kernel.BF16, brain)
		for i := range c.b {
			if r.IntN(100) == 0 {
				c.b[i] *= 1.001
			}
		}
		args := c.args()
		kernel.AddLowRank(&args)
		whole := args.Dst
		for size := 1; size < c.rows; size++ {
			for i := 0; i < c.rows; i += size {
				n := min(size, c.rows-i)
				c.fill(&args, i, n)
				args.Dst = make([]byte, len(args.Src))
				kernel.AddLowRank(&args)
				if at := 2 * i * c.cols; !bytes.Equal(args.Dst, whole[at:at+len(args.Dst)]) {
					t.Fatalf("rows from %d in calls of %d: another result", i, size)
				}
			}
		}
	})
}

// TestTierPatterns draws special values, a few among ordinary ones or nothing else.
func TestTierPatterns(t *testing.T) {
	for _, tier := range assembled() {
		t.Run(tier.Name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(29, 30))
			for n := range 600 {
				c := newCase(r, 8, 131, 1+n%40, dtypes[n%3], []uint32{full, brain}[n/3%2])
				draw := patterns[n/6%len(patterns)]
				often := []int{1, 50, 1000}[n%7%3]
				for _, v := range [][]float32{c.a, c.b} {
					for i := range v {
						if r.IntN(often) == 0 {
							v[i] = draw(r)
						}
					}
				}
				for i := range c.src {
					if r.IntN(often) == 0 {
						c.src[i] = byte(r.Uint32())
					}
				}
				c.pack()
				compare(t, tier, c, kernel.Rounding(n%2), n*2%64)
			}
		})
	}
}

// TestTierOverflow moves one overflow over all elements of a block.
func TestTierOverflow(t *testing.T) {
	for _, tier := range assembled() {
		for _, mask := range []uint32{full, brain} {
			t.Run(fmt.Sprintf("%s/%x", tier.Name, mask), func(t *testing.T) { moveOverflow(t, tier, mask) })
		}
	}
}

func moveOverflow(t *testing.T, tier *kernel.Tier, mask uint32) {
	c := newCase(rand.New(rand.NewPCG(31, 32)), 8, 133, 3, kernel.BF16, mask)
	c.scale = 1
	if mask == brain { // nothing but the overflow may call for a closer look
		clear(c.a)
		clear(c.b)
	}
	a, b, src := slices.Clone(c.a), slices.Clone(c.b), bytes.Clone(c.src)
	for n := range c.rows * c.cols {
		copy(c.a, a)
		copy(c.b, b)
		copy(c.src, src)
		c.src[2*n], c.src[2*n+1] = 0x7f, 0x7f // the greatest bf16
		row, col := n/c.cols, n%c.cols
		for k := range c.rank {
			c.a[k*c.cols+col], c.b[row*c.rank+k] = 0x1p60, 0x1p60
		}
		c.pack()
		args := c.args()
		if bad := tier.AddLowRank(&args); bad != row {
			t.Fatalf("overflow at (%d,%d): first bad row is %d", row, col, bad)
		}
	}
}

// TestWideStrip crosses the blocks of columns that stay in a cache.
func TestWideStrip(t *testing.T) {
	for _, tier := range assembled() {
		t.Run(tier.Name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(33, 34))
			compare(t, tier, newCase(r, 7, 1<<14+100, 1, kernel.BF16, full), kernel.Once, 0)
			compare(t, tier, newCase(r, 7, 1200, 300, kernel.F16, brain), kernel.Once, 0)
			compare(t, tier, newCase(r, 7, 70, 2052, kernel.BF16, brain), kernel.Once, 0)
			compare(t, tier, newCase(r, 7, 70, 2052, kernel.BF16, full), kernel.Twice, 0)
		})
	}
}

// TestManyRows has more rows than a tile, in the last patches all numbers of them, and in
// some of them weights and results that are infinite.
func TestManyRows(t *testing.T) {
	for _, tier := range assembled() {
		t.Run(tier.Name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(37, 38))
			for n := range 108 {
				rank := []int{1 + r.IntN(32), 33 + r.IntN(96), 129 + r.IntN(64)}[n%3]
				c := newCase(r, 1+(n*35)%101, 1+r.IntN(200), rank, dtypes[n/3%3], brain)
				for range n / 9 % 4 {
					i, j := r.IntN(c.rows), r.IntN(c.cols)
					switch r.IntN(3) {
					case 0:
						kernel.Store(c.src[(i*c.cols+j)*c.dtype.Size():][:c.dtype.Size()], []float32{float32(math.Inf(1))}, c.dtype)
					case 1:
						c.b[i*rank+r.IntN(rank)] = float32(math.Inf(-1))
					default:
						c.b[i*rank+r.IntN(rank)] = math.MaxFloat32
					}
				}
				compare(t, tier, c, kernel.Rounding(n/2%2), n*2%64)
			}
			compare(t, tier, newCase(r, 1060, 66, 34, kernel.BF16, brain), kernel.Once, 0)
			compare(t, tier, newCase(r, 1060, 34, 130, kernel.BF16, brain), kernel.Once, 0)
			compare(t, tier, newCase(r, 37, 2500, 600, kernel.BF16, brain), kernel.Once, 2)
			compare(t, tier, newCase(r, 5, 13_000, 3, kernel.BF16, brain), kernel.Once, 0) // strips for more than a call
			compare(t, tier, newCase(r, 5, 17_000, 32, kernel.BF16, brain), kernel.Once, 0)
			compare(t, tier, newCase(r, 5, 9000, 40, kernel.F16, brain), kernel.Twice, 0)
		})
	}
}

func FuzzTiers(f *testing.F) {
	f.Add([]byte("seed of thirty-two bytes, or more"), uint16(3), uint16(5), uint8(1), uint8(0), float32(0.5))
	f.Add(bytes.Repeat([]byte{0x7f, 0x80, 1, 0}, 40), uint16(33), uint16(65), uint8(7), uint8(3), float32(-2))
	f.Add(bytes.Repeat([]byte{0, 0, 0x80, 0x3f, 0, 0, 0x7f, 0x3f}, 9), uint16(230), uint16(130), uint8(9), uint8(5), float32(1))
	f.Fuzz(func(t *testing.T, data []byte, rank, cols uint16, rows, mode uint8, scale float32) {
		c := &testCase{
			rows: 1 + int(rows%8), cols: 1 + int(cols%140), rank: 1 + int(rank%80),
			dtype: dtypes[mode%3], scale: scale,
		}
		mask := uint32(full)
		if mode/6%2 == 1 {
			mask = brain
		}
		n := 0
		word := func() uint32 {
			var w uint32
			for j := range 4 {
				if len(data) > 0 {
					w = w<<8 | uint32(data[(n*4+n/7+j)%len(data)])
				}
			}
			n++
			return w
		}
		floats := func(n int) []float32 {
			v := make([]float32, n)
			for i := range v {
				v[i] = math.Float32frombits(word() & mask)
			}
			return v
		}
		c.a, c.b = floats(c.rank*c.cols), floats(c.rows*c.rank)
		for len(c.src) < c.rows*c.cols*c.dtype.Size() {
			c.src = binary.LittleEndian.AppendUint32(c.src, word())
		}
		c.src = c.src[:c.rows*c.cols*c.dtype.Size()]
		c.pack()
		for _, tier := range assembled() {
			compare(t, tier, c, kernel.Rounding(mode/3%2), int(mode)*2%64)
		}
	})
}

func TestSelect(t *testing.T) {
	before := kernel.Default
	defer func() { kernel.Default = before }()
	for _, name := range kernel.Names {
		err := kernel.Select(name)
		switch {
		case err == nil && kernel.Default.Name != name:
			t.Errorf("selected %q, got %q", name, kernel.Default.Name)
		case err != nil && (!strings.Contains(err.Error(), "not available") || name == "go"):
			t.Errorf("%q: %v", name, err)
		}
	}
	t.Setenv("LORAFS_KERNEL", "go")
	if err := kernel.FromEnv(); err != nil {
		t.Error(err)
	}
	err := kernel.Select("sse")
	if err == nil || !strings.Contains(err.Error(), `unknown kernel "sse"`) || kernel.Default.Name != "go" {
		t.Errorf("an unknown name: %v, tier %q", err, kernel.Default.Name)
	}
	if err := kernel.Select(""); err != nil || kernel.Default != before {
		t.Errorf("no name: %v, tier %q, want %q", err, kernel.Default.Name, before.Name)
	}
	for _, tier := range kernel.Tiers {
		if !slices.Contains(kernel.Names, tier.Name) {
			t.Errorf("%q is not in Names", tier.Name)
		}
	}
}

// TestTierTies has sums that lie in the middle between two bf16: even and odd, among
// results small and large.
func TestTierTies(t *testing.T) {
	for _, tier := range assembled() {
		t.Run(tier.Name, func(t *testing.T) {
			for _, mask := range []uint32{brain, full} {
				for n := range 64 {
					c := newCase(rand.New(rand.NewPCG(35, uint64(n))), 7, 70, 2+n%9, kernel.BF16, mask)
					c.scale = 1
					clear(c.a)
					clear(c.b)
					for i := range c.rows {
						c.b[i*c.rank] = 0x1p-9
						if mask == full {
							c.b[i*c.rank+1] = 1 + 0x1p-20 // another order; times zero
						}
					}
					for j := range c.cols {
						c.a[j] = float32(j%5-2) * 0x1p1 // half a unit of weights in [1,2), or a whole
					}
					weight := uint16(0x3f80 + n)
					if n%4 == 3 {
						weight += 0x100 // large: no ties, and no small results
					}
					for i := range c.rows * c.cols {
						binary.LittleEndian.PutUint16(c.src[2*i:], weight^uint16(i%3)<<15)
					}
					c.pack()
					compare(t, tier, c, kernel.Once, 0)
				}
			}
		})
	}
}

// TestTierScales has powers of two for scales, which tiers may move into B, and values
// at the ends of the range, where they may not.
func TestTierScales(t *testing.T) {
	for _, tier := range assembled() {
		t.Run(tier.Name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(37, 38))
			for n := range 400 {
				c := newCase(r, 9, 70, 1+n%41, dtypes[n%3], []uint32{full, brain}[n/3%2])
				c.scale = float32(math.Ldexp(1, []int{0, 1, -1, 3, -100, 100, -149, 127}[r.IntN(8)]))
				if r.IntN(8) == 0 {
					c.scale = -c.scale
				}
				a, b := math.Ldexp(1, r.IntN(200)-100), math.Ldexp(1, r.IntN(200)-100)
				for i := range c.a {
					c.a[i] *= float32(a)
				}
				for i := range c.b {
					c.b[i] *= float32(b)
				}
				c.pack()
				compare(t, tier, c, kernel.Rounding(n%2), 0)
			}
		})
	}
}
