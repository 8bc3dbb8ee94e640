//go:build !purego

package kernel_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/cpu"

	"lorafs/lazymerge/kernel"
)

// amxVariable tells the test program that its tile instructions are interpreted.
const amxVariable = "LORAFS_TEST_AMX"

func init() {
	if os.Getenv(amxVariable) == "interpreted" {
		kernel.ForceAMX()
		stressRounds = 50
	}
}

// amxTests are the tests of tiers that run with the interpreter: those with rows enough.
var amxTests = []string{
	"TestStress", "TestSelfTest", "TestTileUnit", "TestEveryRank", "TestTierRepacked", "TestNegativeZero", "TestTinyProducts", "TestLeastProducts", "TestAllocations", "TestTorch",
	"TestTiers", "TestTierRowsAndColumns", "TestTierMixed", "TestBlocking", "TestTierPatterns", "TestTierOverflow",
	"TestWideStrip", "TestManyRows", "TestGuardPages", "FuzzTiers",
}

// TestAMX runs the tests of tiers with the amx tier: by the processor, as part of all
// tiers, or else by an interpreter of its six instructions in another process.
func TestAMX(t *testing.T) {
	switch {
	case os.Getenv(amxVariable) != "":
		t.Skip("this is the other process")
	case available("amx"):
		t.Log("amx: native, in the tests of all tiers")
		return
	case kernel.HasAMX():
		skip(t, "amx", "the processor has tiles and the system does not permit them: they cannot be interpreted either")
	case !cpu.X86.HasAVX512F || !cpu.X86.HasAVX512BW:
		skip(t, "amx", "the processor lacks AVX-512, which the interpreter has no part in")
	}
	out, err := os.Create(t.TempDir() + "/output")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(os.Args[0], "-test.v", "-test.run", "^("+strings.Join(amxTests, "|")+")$")
	cmd.Env = append(os.Environ(), amxVariable+"=interpreted")
	cmd.Stdout, cmd.Stderr = out, out
	var tr tracer
	status, err := tr.run(cmd)
	text, readErr := os.ReadFile(out.Name())
	if readErr != nil {
		t.Fatal(readErr)
	}
	if errors.Is(err, errForbidden) {
		skip(t, "ptrace", err.Error())
	}
	if err != nil || status.ExitStatus() != 0 {
		t.Fatalf("%v, status %#x\n%s", err, status, text)
	}
	for _, name := range amxTests {
		if !strings.Contains(string(text), "--- PASS: "+name+" ") {
			t.Errorf("%s did not run", name)
		}
	}
	for _, name := range []string{opLDTILECFG, opTILERELEASE, opTILEZERO, opTILELOADD, opTILESTORED, opTDPBF16PS} {
		if tr.count[name] == 0 {
			t.Errorf("no %s was executed", name)
		}
	}
	t.Logf("amx: interpreted (%v)", tr.count)
}

func available(name string) bool {
	return slices.ContainsFunc(kernel.Tiers, func(t *kernel.Tier) bool { return t.Name == name && t.Available() })
}

// skip skips loudly, and fails where LORAFS_TEST_REQUIRE promises what is missing.
func skip(t *testing.T, what, reason string) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("LORAFS_TEST_REQUIRE"), ","), what) {
		t.Fatalf("%s is required: %s", what, reason)
	}
	fmt.Fprintf(os.Stderr, "SKIPPED for lack of %s: %s\n", what, reason)
	t.Skipf("SKIPPED for lack of %s: %s", what, reason)
}

// TestTileUnit holds the interpreter against the processor's tiles, over all kinds of
// bf16 values. In the other process it only shows that the test itself is right.
func TestTileUnit(t *testing.T) {
	if !available("amx") {
		skip(t, "amx", "no processor to hold the interpreter against")
	}
	products := 10_000
	if os.Getenv(amxVariable) != "" {
		products = 400
	}
	r := rand.New(rand.NewPCG(51, 52))
	for n := range products {
		steps := 1 + n%3
		left, right := randomTiles(r, n, steps)
		got, want := kernel.TileSums(steps, left, right), interpretedSums(t, steps, left, right)
		for i := range got {
			for j, x := range got[i] {
				if y := want[i][j]; x != y && !(isNaN(x) && isNaN(y)) {
					t.Fatalf("product %d of %d steps, element (%d,%d): the processor has %#x, the interpreter %#x", n, steps, i, j, x, y)
				}
			}
		}
	}
}

// randomTiles draws pairs of bf16, of all bits or around some limit.
func randomTiles(r *rand.Rand, n, steps int) (left, right []uint32) {
	draw := []func() uint32{
		r.Uint32,
		func() uint32 { return around(r, 127, 3) },
		func() uint32 { return around(r, 127, 12) },
		func() uint32 { return around(r, 64, 3) },  // products about the least normal number
		func() uint32 { return around(r, 190, 3) }, // and about the greatest
		func() uint32 { return around(r, 0, 3) },
		func() uint32 {
			return []uint32{0, 0x8000, 0x3f80, 0xbf80, 0x7f80, 0xff80, 0x7fc0, 0xffa0, 1, 0x807f}[r.IntN(10)]
		},
	}
	fill := func(n int, draw, other func() uint32) []uint32 {
		v := make([]uint32, n)
		for i := range v {
			if r.IntN(200) == 0 {
				draw, other = other, draw
			}
			v[i] = draw()<<16 | draw()&0xffff
		}
		return v
	}
	return fill(2*steps*kernel.TileRows*kernel.TilePairs, draw[n%7], draw[n/7%7]),
		fill(2*steps*kernel.TilePairs*kernel.TileCols, draw[n%7], draw[n/49%7])
}

// around is a bf16 with an exponent up to some distance from the middle.
func around(r *rand.Rand, middle, distance int) uint32 {
	exponent := min(max(middle-distance+r.IntN(2*distance+1), 0), 254)
	return r.Uint32()&0x807f | uint32(exponent)<<7
}

// interpretedSums is what kernel.TileSums returns, by the interpreter.
func interpretedSums(t *testing.T, steps int, left, right []uint32) (sums [2 * kernel.TileRows][2 * kernel.TileCols]uint32) {
	u := tileUnit{configured: true}
	for i := range u.rows {
		u.rows[i], u.bytes[i] = 16, 64
	}
	put := func(tile int, words []uint32) {
		for i := range 256 {
			binary.LittleEndian.PutUint32(u.data[tile][i/16][i%16*4:], words[i])
		}
	}
	for s := range steps {
		for i := range 2 {
			put(4+i, left[(2*s+i)*256:])
			put(6+i, right[(2*s+i)*256:])
		}
		for sum := range 4 {
			if err := u.multiply(sum, 4+sum/2, 6+sum%2); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range sums {
		for j := range sums[i] {
			sums[i][j] = binary.LittleEndian.Uint32(u.data[i/16*2+j/16][i%16][4*(j%16):])
		}
	}
	return sums
}

func isNaN(b uint32) bool { return b&0x7fffffff > 0x7f800000 }

// TestUnitFMA holds the interpreter's arithmetic against big.Float.
func TestUnitFMA(t *testing.T) {
	r := rand.New(rand.NewPCG(53, 54))
	for n := range 300_000 {
		middle, distance := 127, 60
		if n%2 == 0 { // products about the least normal number
			middle, distance = 64, 4
		}
		x := math.Float32frombits(around(r, middle, distance) << 16)
		y := math.Float32frombits(around(r, middle, distance) << 16)
		e := int(math.Float32bits(x)>>23&255) + int(math.Float32bits(y)>>23&255) - 127
		z := math.Float32frombits(r.Uint32()&0x807fffff | uint32(min(max(e-30+r.IntN(60), 1), 254))<<23)
		if r.IntN(4) == 0 { // ties
			z = math.Float32frombits(math.Float32bits(z) &^ 0xffff)
		}
		exact := func(v float32) *big.Float { return new(big.Float).SetPrec(2000).SetFloat64(float64(v)) }
		sum := new(big.Float).SetPrec(2000).Mul(exact(x), exact(y))
		rounded := new(big.Float).SetPrec(24).Set(sum.Add(sum, exact(z)))
		want, _ := rounded.Float32()
		if f, _ := rounded.Float64(); math.Abs(f) < 0x1p-126 {
			want = float32(math.Copysign(0, f))
		}
		if got := unitFMA(x, y, z); got != want {
			t.Fatalf("%g·%g + %g: got %g, want %g", x, y, z, got, want)
		}
	}
}
