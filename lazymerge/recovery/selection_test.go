package recovery

import (
	"slices"
	"testing"

	"lorafs/lazymerge/checkpoint"
	"lorafs/safetensors"
)

// TestLeftOut names what was trained and is not of the adapter, and not once more what
// shares its values.
func TestLeftOut(t *testing.T) {
	c := &checkpoint.Checkpoint{Path: "c"}
	for name, alias := range map[string]string{
		"base_model.model.m.lora_A.default.weight": "", "base_model.model.m.lora_B.default.weight": "",
		"base_model.model.norm.weight": "", "base_model.model.twin.weight": "base_model.model.norm.weight",
	} {
		c.Tensors = append(c.Tensors, &checkpoint.Tensor{Name: name, Alias: alias, Trained: true, DType: safetensors.F32, Shape: []int64{1, 1}})
	}
	s, err := choose(c, "LORA", nil, "default")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"base_model.model.norm.weight"}; !slices.Equal(s.left, want) || len(s.tensors) != 2 {
		t.Errorf("left out %q of %d", s.left, len(s.tensors))
	}
}
