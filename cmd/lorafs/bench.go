package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"lorafs/lazymerge/kernel"
	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

func benchCommand(io stdio) *cli.Command {
	return &cli.Command{
		Name:      "bench",
		Usage:     "measure how fast this machine merges, compared with copying",
		ArgsUsage: "kernel",
		Description: "kernel: what each kernel of this machine makes of blocks of 96 rows, on one core, from weights too\n" +
			"large for the caches. copy() of such blocks takes turns with it, so that other load slows both; the\n" +
			"ratio is between the medians. A merge counts as a reader meets it: reading and widening the rows of B\n" +
			"is part of it; packing A, once a tensor, is not. An f32 adapter whose values all fit in bf16 counts\n" +
			"as bf16.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "tier", Usage: "measure only the kernel `NAME`: " + strings.Join(kernel.Names, ", ")},
			&cli.IntFlag{Name: "rank", Usage: "measure only the rank `NUMBER`: " + joinInts(benchRanks), DefaultText: "all"},
			&cli.DurationFlag{Name: "time", Value: 400 * time.Millisecond, Usage: "measure each case for `DURATION`; the whole takes less than a minute at 400ms"},
			jsonFlag(),
		},
		Action: func(c *cli.Context) error { return runBench(c, io) },
	}
}

var benchRanks = []int{4, 8, 16, 32, 64, 128, 256}

const (
	benchRows   = 96
	benchCols   = 4096
	benchWide   = 14336
	benchBytes  = 256 << 20 // of weights: more than the last cache of most processors
	benchRounds = 3         // at least
)

// benchCase is what one kernel is measured with.
type benchCase struct {
	Rank    int    `json:"rank"`
	Adapter string `json:"adapter_dtype"`
	Base    string `json:"base_dtype"`
	Cols    int    `json:"cols"`
}

// benchResult is a kernel's result in a case.
type benchResult struct {
	Tier string `json:"tier"`
	benchCase
	Ratio float64 `json:"ratio_to_copy"`
	Speed float64 `json:"gb_per_s"` // of weights
	copy  float64 // GB/s
}

func runBench(c *cli.Context, io stdio) error {
	if err := wantArgs(c, 1, 1); err != nil {
		return err
	}
	if what := c.Args().First(); what != "kernel" {
		return &usageError{command: "bench", err: fmt.Errorf("unknown benchmark %q; known is kernel", what)}
	}
	cases, err := benchCases(c)
	if err != nil {
		return err
	}
	tiers, err := benchTiers(c.String("tier"))
	if err != nil {
		return err
	}
	results, err := benchAll(c, io, tiers, cases)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return io.writeJSON(results)
	}
	return writeBench(io, tiers, cases, results)
}

// benchTiers are the kernels that the machine can run, or the named one.
func benchTiers(name string) ([]*kernel.Tier, error) {
	if name == "" {
		return slices.DeleteFunc(slices.Clone(kernel.Tiers), func(t *kernel.Tier) bool { return !t.Available() }), nil
	}
	if err := kernel.Select(name); err != nil {
		return nil, &usageError{command: "bench", err: fmt.Errorf("--tier: %w", err)}
	}
	return []*kernel.Tier{kernel.Default}, nil
}

// benchCases are every rank at the usual width, and further types and widths at some.
func benchCases(c *cli.Context) ([]benchCase, error) {
	if c.Duration("time") <= 0 {
		return nil, &usageError{command: "bench", err: errors.New("--time must be positive")}
	}
	ranks := benchRanks
	if c.IsSet("rank") {
		ranks = []int{c.Int("rank")}
		if !slices.Contains(benchRanks, ranks[0]) {
			return nil, &usageError{command: "bench", err: fmt.Errorf("--rank %d: known are %s", ranks[0], joinInts(benchRanks))}
		}
	}
	var out []benchCase
	for _, adapter := range []string{"bf16", "f32"} {
		for _, rank := range ranks {
			out = append(out, benchCase{rank, adapter, "bf16", benchCols})
			if rank == 16 || rank == 64 {
				out = append(out, benchCase{rank, adapter, "bf16", benchWide})
			}
			if rank == 16 {
				out = append(out, benchCase{rank, adapter, "f16", benchCols}, benchCase{rank, adapter, "f32", benchCols})
			}
		}
	}
	return out, nil
}

func joinInts(ns []int) string {
	var words []string
	for _, n := range ns {
		words = append(words, strconv.Itoa(n))
	}
	return strings.Join(words, ", ")
}

func benchAll(c *cli.Context, io stdio, tiers []*kernel.Tier, cases []benchCase) ([]benchResult, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if io.progress {
		defer fmt.Fprint(io.err, "\r\x1b[K")
	}
	var out []benchResult
	b := newBench(c.Duration("time"))
	for _, tier := range tiers {
		kernel.Default = tier
		for _, of := range cases {
			if io.progress {
				fmt.Fprintf(io.err, "\r\x1b[Kbench %d of %d: %s, rank %d", len(out)+1, len(tiers)*len(cases), tier.Name, of.Rank)
			}
			r, err := b.measure(c.Context, of)
			if err != nil {
				return nil, err
			}
			r.Tier = tier.Name
			out = append(out, r)
		}
	}
	return out, nil
}

// bench holds the weights that merging and copying go through, in turns and in a
// circle.
type bench struct {
	time    time.Duration
	random  *rand.Rand
	weights []byte
	at      int // where the last block ended
}

func newBench(each time.Duration) *bench {
	b := &bench{time: each, random: rand.New(rand.NewPCG(1, 2)), weights: make([]byte, benchBytes)}
	const pattern = 1 << 20
	for i := 0; i < pattern; i += 2 {
		// Both halves are common values, as bf16 and f16; so are two as an f32.
		x := b.random.Uint32()
		b.weights[i], b.weights[i+1] = byte(x), 0x3c|byte(x>>8)&0x80
	}
	for n := pattern; n < len(b.weights); n *= 2 {
		copy(b.weights[n:], b.weights[:n])
	}
	return b
}

func (b *bench) measure(ctx context.Context, of benchCase) (benchResult, error) {
	bound, row, err := b.bind(of)
	if err != nil {
		return benchResult{}, err
	}
	packed := make([]byte, bound.PackSize()) // of whole pages, and so aligned
	if err := bound.Pack(ctx, packed); err != nil {
		return benchResult{}, err
	}
	block := benchRows * row
	dst := make([]byte, block)
	var merging, copying []time.Duration
	for begin := time.Now(); len(merging) <= benchRounds || time.Since(begin) < b.time; {
		lo, src := b.next(block)
		start := time.Now()
		if err := bound.Rows(ctx, dst, src, packed, lo, lo+benchRows); err != nil {
			return benchResult{}, err
		}
		merging = append(merging, time.Since(start))
		_, src = b.next(block)
		start = time.Now()
		copy(dst, src)
		copying = append(copying, time.Since(start))
	}
	merge, plain := speed(block, merging), speed(block, copying)
	return benchResult{benchCase: of, Ratio: merge / plain, Speed: merge, copy: plain}, nil
}

// next is the first row and the bytes of the next block in the weights.
func (b *bench) next(block int) (int64, []byte) {
	n := len(b.weights) / block
	n -= 1 - n%2 // an odd number: by turns, both meet all blocks
	i := (b.at + block - 1) / block % n
	b.at = (i + 1) * block
	return int64(i * benchRows), b.weights[i*block : b.at]
}

// speed is the median in GB/s. The first time, when memory is touched first, is left
// out.
func speed(n int, times []time.Duration) float64 {
	times = times[1:]
	slices.Sort(times)
	return float64(n) / 1e9 / times[len(times)/2].Seconds()
}

var benchDTypes = map[string]safetensors.DType{"bf16": safetensors.BF16, "f16": safetensors.F16, "f32": safetensors.F32}

// bind makes an adapter for the weights, seen as rows of so many bytes.
func (b *bench) bind(of benchCase) (bound transform.Bound, row int, err error) {
	base := benchDTypes[of.Base]
	row = of.Cols * base.Bits() / 8
	rows := len(b.weights) / row
	left, err := b.tensor(of.Adapter, rows, of.Rank)
	if err != nil {
		return nil, 0, err
	}
	right, err := b.tensor(of.Adapter, of.Rank, of.Cols)
	if err != nil {
		return nil, 0, err
	}
	weight := safetensors.Info{Name: "weight", DType: base, Shape: []int64{int64(rows), int64(of.Cols)}}
	bound, err = transform.LowRank{A: right, B: left, Scale: 0.5}.Bind(transform.Param{Info: weight}, transform.PEFT)
	return bound, row, err
}

// tensor draws a factor; a long one repeats itself.
func (b *bench) tensor(dtype string, n, m int) (*safetensors.Tensor, error) {
	values := make([]float32, min(n, benchCols)*m)
	for i := range values {
		values[i] = float32(b.random.NormFloat64() * 0.02)
	}
	info := safetensors.Info{Name: "factor", DType: benchDTypes[dtype], Shape: []int64{int64(n), int64(m)}}
	size := info.DType.Bits() / 8
	data := make([]byte, n*m*size)
	done := len(values) * size
	if err := safetensors.FromFloat32(data[:done], values, info.DType); err != nil {
		return nil, err
	}
	for ; done < len(data); done *= 2 {
		copy(data[done:], data[:done])
	}
	return safetensors.FromBytes(info, data)
}

// writeBench prints a line a case and a column a kernel.
func writeBench(io stdio, tiers []*kernel.Tier, cases []benchCase, results []benchResult) error {
	fmt.Fprintln(io.out, "Speed as a share of copy()'s; in brackets GB/s of base weights. One core.")
	fmt.Fprintln(io.out)
	w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "adapter\tbase\tcols\trank\t")
	for _, t := range tiers {
		fmt.Fprintf(w, "%s\t", t.Name)
	}
	fmt.Fprintln(w)
	for i, of := range cases {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t", of.Adapter, of.Base, of.Cols, of.Rank)
		for at := i; at < len(results); at += len(cases) {
			fmt.Fprintf(w, "%.2f (%.2f)\t", results[at].Ratio, results[at].Speed)
		}
		fmt.Fprintln(w)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	byCopy := func(a, b benchResult) int { return cmp.Compare(a.copy, b.copy) }
	least, most := slices.MinFunc(results, byCopy), slices.MaxFunc(results, byCopy)
	_, err := fmt.Fprintf(io.out, "\ncopy() itself: %.1f to %.1f GB/s\n", least.copy, most.copy)
	return err
}
