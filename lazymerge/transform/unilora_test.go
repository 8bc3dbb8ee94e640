package transform_test

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

func TestPicked(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	theta := random(t, r, "theta", safetensors.BF16, 4)
	v := floatsOf(t, theta)
	places := []int64{3, 0, 1, 1, 2, 3}
	for _, d := range []safetensors.DType{safetensors.U8, safetensors.I16, safetensors.I32, safetensors.I64, safetensors.F32} {
		m := transform.Picked{Theta: theta, Index: raw(t, "index", d, integerBytes(t, d, places), 2, 3)}
		checkMatrix(t, m, func(i, j int64) float64 { return float64(v[places[i*3+j]]) })
		for _, bad := range []int64{4, -1} {
			if d == safetensors.U8 && bad < 0 {
				continue
			}
			m.Index = raw(t, "index", d, integerBytes(t, d, []int64{0, 1, 2, 3, 0, bad}), 2, 3)
			var e *transform.IndexError
			if err := m.Check(); !errors.As(err, &e) || e.Tensor != "theta" || e.Index != bad || e.Rows != 4 {
				t.Errorf("%v: index %d: %v", d, bad, err)
			}
		}
	}
	m := transform.Picked{Theta: theta, Index: tensor(t, "index", safetensors.F32, []float32{0.5, 1}, 1, 2)}
	var e *transform.DTypeError
	if err := m.Check(); !errors.As(err, &e) || e.Tensor != "index" {
		t.Errorf("half an index: %v", err)
	}
}

func integerBytes(t *testing.T, d safetensors.DType, values []int64) []byte {
	t.Helper()
	var b []byte
	for _, x := range values {
		switch d {
		case safetensors.U8:
			b = append(b, byte(x))
		case safetensors.I16:
			b = binary.LittleEndian.AppendUint16(b, uint16(x))
		case safetensors.I32:
			b = binary.LittleEndian.AppendUint32(b, uint32(x))
		case safetensors.I64:
			b = binary.LittleEndian.AppendUint64(b, uint64(x))
		case safetensors.F32:
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(x)))
		default:
			t.Fatal(d)
		}
	}
	return b
}
