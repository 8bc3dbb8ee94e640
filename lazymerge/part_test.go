package lazymerge_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"lorafs/lazymerge"
	"lorafs/safetensors"
)

const fused = "nomic_bert.encoder.layers.0.attn.Wqkv.weight"

// fusedRows merges an adapter into the fused q, k and v of 3 rows each, read in
// pieces of piece bytes, and gives the first value of each row.
func fusedRows(t *testing.T, fields string, piece int, adapter ...tensor) []float32 {
	t.Helper()
	base, dir := made(t, `{"model_type": "nomic_bert", "architectures": ["NomicBertForMaskedLM"]}`, []tensor{
		ones("nomic_bert.embeddings.word_embeddings.weight", 6, 4), ones(fused, 9, 4), ones("cls.predictions.bias", 6),
	}, fields, adapter)
	m := openPair(t, base, dir, lazymerge.Options{})
	b := readPieces(t, m, piece)
	path := filepath.Join(t.TempDir(), "merged.safetensors")
	writeText(t, path, string(b))
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	raw, err := f.Tensor(fused).Slice(0, 9*4*4)
	if err != nil {
		t.Fatal(err)
	}
	var rows []float32
	for row := range slices.Chunk(raw, 16) {
		if !bytes.Equal(row[:4], row[12:]) {
			t.Errorf("values differ within a row: % x", row)
		}
		rows = append(rows, math.Float32frombits(binary.LittleEndian.Uint32(row)))
	}
	return rows
}

func readPieces(t *testing.T, m *lazymerge.Model, piece int) []byte {
	t.Helper()
	f, err := m.OpenFile("model.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, f.Size())
	for off := 0; off < len(b); off += piece {
		end := min(off+piece, len(b))
		if n, err := f.ReadAt(t.Context(), b[off:end], int64(off)); n != end-off {
			t.Fatalf("%d of %d bytes at %d: %v", n, end-off, off, err)
		}
	}
	return b
}

// A model that keeps q, k and v apart in memory may store them as one tensor: each
// edit is for its own rows.
func TestEditsOfFusedProjections(t *testing.T) {
	at := "base_model.model.nomic_bert.layers.0.self_attn."
	for _, x := range []struct {
		name, fields string
		adapter      []tensor
		want         []float32
	}{
		{"one", "", []tensor{ones(at+"k_proj.lora_A.weight", 1, 4), ones(at+"k_proj.lora_B.weight", 3, 1)}, []float32{1, 1, 1, 2, 2, 2, 1, 1, 1}},
		{"two", "", []tensor{
			ones(at+"q_proj.lora_A.weight", 1, 4), {at + "q_proj.lora_B.weight", 3, []int64{3, 1}},
			ones(at+"v_proj.lora_A.weight", 1, 4), {at + "v_proj.lora_B.weight", -2, []int64{3, 1}},
		}, []float32{4, 4, 4, 1, 1, 1, -1, -1, -1}},
		{"dora", `, "use_dora": true`, []tensor{
			ones(at+"v_proj.lora_A.weight", 1, 4), ones(at+"v_proj.lora_B.weight", 3, 1), {at + "v_proj.lora_magnitude_vector", 6, []int64{3}},
		}, []float32{1, 1, 1, 1, 1, 1, 3, 3, 3}},
		{"saved", `, "modules_to_save": ["q_proj"]`, []tensor{
			ones(at+"k_proj.lora_A.weight", 1, 4), ones(at+"k_proj.lora_B.weight", 3, 1), {at + "q_proj.weight", 7, []int64{3, 4}},
		}, []float32{7, 7, 7, 2, 2, 2, 1, 1, 1}},
	} {
		for _, piece := range []int{1 << 20, 10} {
			if got := fusedRows(t, x.fields, piece, x.adapter...); !slices.Equal(got, x.want) {
				t.Errorf("%s by %d bytes: got %v, want %v", x.name, piece, got, x.want)
			}
		}
	}
}
