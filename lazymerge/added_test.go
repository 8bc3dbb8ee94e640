package lazymerge_test

import (
	"os"
	"path/filepath"
	"testing"

	"lorafs/safetensors"
)

// A head with batch normalisation brings a counter along, which is no weight of the
// model's dtype.
func TestAddedTensorsThatAreNoWeights(t *testing.T) {
	const counter = "classifier.norm.num_batches_tracked"
	base, adapter := made(t, maskedBert, maskedBertTensors, `, "modules_to_save": ["classifier"]`, nil)
	weight, err := safetensors.FromBytes(safetensors.Info{Name: "base_model.model.classifier.weight", DType: safetensors.F16, Shape: []int64{1}}, []byte{0, 0x3c})
	if err != nil {
		t.Fatal(err)
	}
	count, err := safetensors.FromBytes(safetensors.Info{Name: "base_model.model." + counter, DType: safetensors.I64}, []byte{7, 0, 0, 0, 0, 0, 0, 0})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(adapter, "adapter_model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if err := safetensors.Write(f, nil, []*safetensors.Tensor{weight, count}); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	view := merged(t, base, adapter)
	if got := view.Tensor("classifier.weight"); got == nil || got.DType != safetensors.F32 {
		t.Errorf("the weight: %+v", got)
	}
	got := view.Tensor(counter)
	if got == nil || got.DType != safetensors.I64 {
		t.Fatalf("the counter: %+v", got)
	}
	if b, err := got.Slice(0, 8); err != nil || b[0] != 7 {
		t.Errorf("the counter holds % x, %v", b, err)
	}
}
