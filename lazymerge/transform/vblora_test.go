package transform_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// bytesTensor is a tensor of small integers.
func bytesTensor(t *testing.T, name string, values []byte, shape ...int64) *safetensors.Tensor {
	return raw(t, name, safetensors.U8, values, shape...)
}

func TestMixtures(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 1))
	bank := random(t, r, "bank", safetensors.F32, 6, 3)
	logits := tensor(t, "logits", safetensors.F32, []float32{
		1, 3, 2, -4, 0, 2.5, -1, -2, -1.5, 7, 6, 5,
		0, 1, 0.5, 0.25, 0.75, -1, 9, 2, 3, 4, 5, 6,
	}, 2, 2, 6)
	chosen := [][]int{{1, 5}, {3, 4}, {1, 4}, {0, 5}}
	values := floatsOf(t, logits)
	weights, all := make([]float32, 4), floatsOf(t, bank)
	for i, c := range chosen {
		x, y := math.Exp(float64(values[i*6+c[0]])), math.Exp(float64(values[i*6+c[1]]))
		weights[i] = float32(x / (x + y))
	}
	piece := func(i, j, e int64) float64 {
		w, c := float64(weights[i*2+j]), chosen[i*2+j]
		return w*float64(all[int64(c[0])*3+e]) + (1-w)*float64(all[int64(c[1])*3+e])
	}
	places := make([]byte, 0, 8)
	for _, c := range chosen {
		places = append(places, byte(c[0]), byte(c[1]))
	}
	for name, m := range map[string]transform.Mixture{
		"logits": {Bank: bank, K: 2, Logits: logits},
		"chosen": {Bank: bank, K: 2, Indices: bytesTensor(t, "i", places, 2, 2, 2), Weights: tensor(t, "w", safetensors.F32, weights, 2, 2, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			checkMatrix(t, m, func(i, j int64) float64 { return piece(i, j/3, j%3) })
			m.Standing = true
			checkMatrix(t, m, func(i, j int64) float64 { return piece(i/3, j, i%3) })
		})
	}
	outside := transform.Mixture{Bank: bank, K: 2, Indices: bytesTensor(t, "i", []byte{1, 6}, 1, 1, 2), Weights: tensor(t, "w", safetensors.F32, []float32{1}, 1, 1, 1)}
	var e *transform.IndexError
	if err := outside.Check(); !errors.As(err, &e) || e.Tensor != "bank" || e.Index != 6 || e.Rows != 6 {
		t.Errorf("an index outside the bank: %v", err)
	}
	if err := (transform.Mixture{Bank: bank, K: 7, Logits: logits}).Check(); err == nil {
		t.Error("7 of 6 rows")
	}
}
