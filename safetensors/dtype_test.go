package safetensors

import (
	"math"
	"os"
	"strings"
	"testing"
)

// TestDTypesAreComplete compares with the list of the reference, in its order.
func TestDTypesAreComplete(t *testing.T) {
	text, err := os.ReadFile("testdata/st_dtypes.txt")
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Fields(string(text))
	if len(names) != len(dtypes)-1 {
		t.Fatalf("%d dtypes, the reference has %d", len(dtypes)-1, len(names))
	}
	for i, name := range names {
		d, ok := ParseDType(name)
		if !ok || d != DType(i+1) || d.String() != name || d.Bits() == 0 {
			t.Errorf("%s is %v with %d bits", name, d, d.Bits())
		}
	}
	for _, name := range []string{"", "f32", "F32 ", "unknown", "F9"} {
		if d, ok := ParseDType(name); ok {
			t.Errorf("%q is %v", name, d)
		}
	}
	if d := DType(200); d.Bits() != 0 || d.String() != "DType(200)" {
		t.Errorf("%v with %d bits", d, d.Bits())
	}
}

func TestElementsAndBytes(t *testing.T) {
	for _, c := range []struct {
		d               DType
		shape           []int64
		elements, bytes int64 // -1: an error
	}{
		{F32, nil, 1, 4},
		{F32, []int64{2, 3}, 6, 24},
		{F32, []int64{0, math.MaxInt64}, 0, 0},
		{F4, []int64{2}, 2, 1},
		{F4, []int64{3}, 3, -1},
		{F6E2M3, []int64{4}, 4, 3},
		{U8, []int64{math.MaxInt64}, math.MaxInt64, -1},
		{U8, []int64{1<<61 - 1}, 1<<61 - 1, 1<<61 - 1},
		{U8, []int64{1 << 61}, 1 << 61, -1},
		{U8, []int64{1 << 62, 2}, -1, -1},
		{U8, []int64{1 << 62, 2, 0}, 0, 0},
		{U8, []int64{1 << 40, 1 << 40, 0}, -1, -1},
		{U8, []int64{-1}, -1, -1},
		{Unknown, nil, 1, -1},
	} {
		info := Info{"w", c.d, c.shape}
		if n, err := info.Elements(); (err != nil) != (c.elements < 0) || err == nil && n != c.elements {
			t.Errorf("%v: %d elements, %v", info, n, err)
		}
		if n, err := info.Bytes(); (err != nil) != (c.bytes < 0) || err == nil && n != c.bytes {
			t.Errorf("%v: %d bytes, %v", info, n, err)
		}
	}
}
