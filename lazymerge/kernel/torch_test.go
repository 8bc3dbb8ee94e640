package kernel_test

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"lorafs/lazymerge/kernel"
)

// torchCase is a product that torch computed; testdata/make_torch.py wrote it.
type torchCase struct {
	Rank   int    `json:"rank"`
	DType  string `json:"dtype"`
	Delta  []byte `json:"delta"`
	Merged []byte `json:"merged"`
}

type torchFile struct {
	Rows  int         `json:"rows"`
	Cols  int         `json:"cols"`
	Scale float32     `json:"scale"`
	Cases []torchCase `json:"cases"`
}

// draw repeats make_torch.py's generator.
func draw(seed uint32, n int, dtype string) []float32 {
	out := make([]float32, n)
	for i := range out {
		seed = seed*1664525 + 1013904223
		out[i] = float32(int(seed>>8)-1<<23) / (1 << 26)
	}
	if d, ok := map[string]kernel.DType{"bf16": kernel.BF16, "f16": kernel.F16}[dtype]; ok {
		b := make([]byte, 2*n)
		kernel.Store(b, out, d)
		kernel.Load(out, b, d)
	}
	return out
}

func (c *torchCase) operands(f *torchFile) *testCase {
	out := &testCase{
		rows: f.Rows, cols: f.Cols, rank: c.Rank, dtype: kernel.BF16, scale: f.Scale,
		a:   draw(uint32(c.Rank), c.Rank*f.Cols, c.DType),
		b:   draw(uint32(c.Rank)+1, f.Rows*c.Rank, c.DType),
		src: make([]byte, 2*f.Rows*f.Cols),
	}
	kernel.Store(out.src, draw(uint32(c.Rank)+2, f.Rows*f.Cols, "bf16"), kernel.BF16)
	out.pack()
	return out
}

// TestTorch holds products of factors that are not bf16 to torch's bits. The others
// follow the pairwise order, and may differ in the last places.
func TestTorch(t *testing.T) {
	raw, err := os.ReadFile("testdata/torch.json")
	if err != nil {
		t.Fatal(err)
	}
	var file torchFile
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) < 30 {
		t.Fatalf("only %d cases", len(file.Cases))
	}
	eachTier(t, func(t *testing.T) {
		for _, c := range file.Cases {
			c.compareDelta(t, &file)
			c.compareMerged(t, &file)
		}
	})
}

func (c *torchCase) compareDelta(t *testing.T, f *torchFile) {
	x := c.operands(f)
	clear(x.src)
	x.scale = 1
	args := x.args()
	got := make([]float32, f.Rows*f.Cols)
	kernel.SumRows(got, &args)
	allowed := 0.0
	if c.DType == "bf16" {
		allowed = float64(c.Rank) / 64 * 0x1p-24
	}
	for i, v := range got {
		want := at(c.Delta, i, kernel.F32)
		if e := math.Abs(float64(v) - want); !(e <= allowed) {
			t.Fatalf("rank %d, %s: delta %d: got %g, want %g", c.Rank, c.DType, i, v, want)
		}
	}
}

func (c *torchCase) compareMerged(t *testing.T, f *torchFile) {
	x := c.operands(f)
	args := x.args()
	if bad := kernel.AddLowRank(&args); bad >= 0 {
		t.Fatalf("rank %d, %s: bad row %d", c.Rank, c.DType, bad)
	}
	different := 0
	for i := range f.Rows * f.Cols {
		if at(args.Dst, i, kernel.BF16) != at(c.Merged, i, kernel.BF16) {
			different++
		}
	}
	if different > 0 && c.DType != "bf16" || different > 1 {
		t.Errorf("rank %d, %s: %d merged weights differ", c.Rank, c.DType, different)
	}
}
