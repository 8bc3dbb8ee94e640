package lazymerge_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lorafs/lazymerge"
	"lorafs/lazymerge/adapter/peft"
	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// numbered is a tensor whose values count up from first.
type numbered struct {
	name  string
	first int
	shape []int64
}

func (n numbered) values() []float32 {
	size := int64(1)
	for _, d := range n.shape {
		size *= d
	}
	v := make([]float32, size)
	for i := range v {
		v[i] = float32(n.first+i) / 8
	}
	return v
}

func writeNumbered(t *testing.T, path string, all []numbered) {
	t.Helper()
	var tensors []*safetensors.Tensor
	for _, n := range all {
		b := make([]byte, 0, 64)
		for _, v := range n.values() {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
		x, err := safetensors.FromBytes(safetensors.Info{Name: n.name, DType: safetensors.F32, Shape: n.shape}, b)
		if err != nil {
			t.Fatal(err)
		}
		tensors = append(tensors, x)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(safetensors.Write(f, nil, tensors), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// pairOf writes a base and an adapter of rank 2 and scale 1.
func pairOf(t *testing.T, config string, base []numbered, fields string, adapter []numbered) (string, string) {
	t.Helper()
	dir := t.TempDir()
	writeText(t, filepath.Join(dir, "base", "config.json"), config)
	writeNumbered(t, filepath.Join(dir, "base", "model.safetensors"), base)
	writeText(t, filepath.Join(dir, "adapter", "adapter_config.json"), `{"peft_type": "LORA", "r": 2, "lora_alpha": 2`+fields+`}`)
	writeNumbered(t, filepath.Join(dir, "adapter", "adapter_model.safetensors"), adapter)
	return filepath.Join(dir, "base"), filepath.Join(dir, "adapter")
}

// mergedValues reads the merged model in pieces.
func mergedValues(t *testing.T, m *lazymerge.Model, piece int) map[string][]float32 {
	t.Helper()
	path := filepath.Join(t.TempDir(), "merged.safetensors")
	writeText(t, path, string(readPieces(t, m, piece)))
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := make(map[string][]float32)
	for _, x := range f.Tensors() {
		raw, err := x.Slice(0, x.Size())
		if err != nil {
			t.Fatal(err)
		}
		v := make([]float32, len(raw)/4)
		if err := safetensors.AsFloat32(v, raw, x.DType); err != nil {
			t.Fatal(err)
		}
		all[x.Name] = v
	}
	return all
}

// product is B·A of two layer factors, row by row.
func product(a, b numbered) []float32 {
	x, y, rank := a.shape[1], b.shape[0], a.shape[0]
	av, bv := a.values(), b.values()
	out := make([]float32, x*y)
	for o := range y {
		for i := range x {
			for k := range rank {
				out[o*x+i] += bv[o*rank+k] * av[k*x+i]
			}
		}
	}
	return out
}

const (
	gptOss  = `{"model_type": "gpt_oss", "architectures": ["GptOssForCausalLM"]}`
	llama4  = `{"model_type": "llama4_text", "architectures": ["Llama4ForCausalLM"]}`
	mixtral = `{"model_type": "mixtral", "architectures": ["MixtralForCausalLM"]}`
)

// TestLayersOfSingleExperts merges adapters of one expert's layers into stacks: along
// the rows, along the columns, and where gate and up alternate.
func TestLayersOfSingleExperts(t *testing.T) {
	const experts, hidden, inner, expert = 3, 5, 4, 2
	for _, c := range []struct {
		name, config, stack, layer string
		shape                      []int64
		// place is the row and column in the expert's matrix of output o and input i.
		place func(o, i int64) (row, col int64)
	}{
		{"mixtral up", mixtral, "model.layers.0.mlp.experts.gate_up_proj", "model.layers.0.block_sparse_moe.experts.2.w3", []int64{experts, 2 * inner, hidden},
			func(o, i int64) (int64, int64) { return inner + o, i }},
		{"mixtral gate, new names", mixtral, "model.layers.0.mlp.experts.gate_up_proj", "model.layers.0.mlp.experts.2.gate_proj", []int64{experts, 2 * inner, hidden},
			func(o, i int64) (int64, int64) { return o, i }},
		{"llama4 up", llama4, "model.layers.0.feed_forward.experts.gate_up_proj", "model.layers.0.feed_forward.experts.2.up_proj", []int64{experts, hidden, 2 * inner},
			func(o, i int64) (int64, int64) { return i, inner + o }},
		{"gpt-oss gate", gptOss, "model.layers.0.mlp.experts.gate_up_proj", "model.layers.0.mlp.experts.2.gate_proj", []int64{experts, hidden, 2 * inner},
			func(o, i int64) (int64, int64) { return i, 2 * o }},
		{"gpt-oss up", gptOss, "model.layers.0.mlp.experts.gate_up_proj", "model.layers.0.mlp.experts.2.up_proj", []int64{experts, hidden, 2 * inner},
			func(o, i int64) (int64, int64) { return i, 2*o + 1 }},
	} {
		stack := numbered{c.stack, 1, c.shape}
		a := numbered{"base_model.model." + c.layer + ".lora_A.weight", 3, []int64{2, hidden}}
		b := numbered{"base_model.model." + c.layer + ".lora_B.weight", 7, []int64{inner, 2}}
		want := stack.values()
		for n, v := range product(a, b) {
			row, col := c.place(int64(n)/hidden, int64(n)%hidden)
			want[(expert*c.shape[1]+row)*c.shape[2]+col] += v
		}
		base, dir := pairOf(t, c.config, []numbered{stack}, "", []numbered{a, b})
		m := openPair(t, base, dir, lazymerge.Options{})
		for _, piece := range []int{1 << 20, 7} {
			if got := mergedValues(t, m, piece)[c.stack]; !slices.Equal(got, want) {
				t.Errorf("%s by %d bytes: got\n%v, want\n%v", c.name, piece, got, want)
			}
		}
	}
}

// stackOf is a stack's adapter, of rank 2 an expert.
func stackOf(module string, experts, in, out int64) []numbered {
	return []numbered{
		{"base_model.model." + module + ".lora_A.weight", 3, []int64{2 * experts, in}},
		{"base_model.model." + module + ".lora_B.weight", 11, []int64{out, 2 * experts}},
	}
}

const downOnly = `, "target_modules": [], "target_parameters": ["experts.down_proj"]`

// TestOrderOfExperts: lora_B_layout and the caller say how B's columns are sorted.
func TestOrderOfExperts(t *testing.T) {
	const module, experts, in, out = "model.layers.0.mlp.experts", 3, 4, 5
	stack := numbered{module + ".down_proj", 1, []int64{experts, out, in}}
	adapter := stackOf(module, experts, in, out)
	merged := func(grouped bool) []float32 {
		v := stack.values()
		a, b := adapter[0].values(), adapter[1].values()
		for e := range experts {
			for o := range out {
				for i := range in {
					for k := range 2 {
						column := k*experts + e
						if grouped {
							column = e*2 + k
						}
						v[(e*out+o)*in+i] += b[o*2*experts+column] * a[(e*2+k)*in+i]
					}
				}
			}
		}
		return v
	}
	for _, c := range []struct {
		fields  string
		order   transform.ExpertOrder
		grouped bool
		warns   bool
	}{
		{"", 0, false, false},
		{`, "lora_B_layout": "rank_major"`, 0, false, false},
		{`, "lora_B_layout": "grouped_by_expert"`, 0, true, false},
		{`, "lora_B_layout": "grouped_by_expert"`, transform.RankMajor, false, false},
		{"", transform.ByExpert, true, false},
		{`, "base_model_name_or_path": "unsloth/tiny"`, 0, false, true},
		{`, "auto_mapping": {"unsloth_fixed": true}`, 0, false, true},
		{`, "base_model_name_or_path": "unsloth/tiny", "lora_B_layout": "rank_major"`, 0, false, false},
		{`, "base_model_name_or_path": "unsloth/tiny"`, transform.ByExpert, true, false},
	} {
		base, dir := pairOf(t, mixtral, []numbered{stack}, downOnly+c.fields, adapter)
		m := openPair(t, base, dir, lazymerge.Options{Experts: c.order})
		if got := mergedValues(t, m, 1<<20)[stack.name]; !slices.Equal(got, merged(c.grouped)) {
			t.Errorf("%s, %d: got\n%v, want\n%v", c.fields, c.order, got, merged(c.grouped))
		}
		warned := slices.ContainsFunc(m.Report().Warnings, func(w transform.Warning) bool { return strings.Contains(w.Text, "--experts") })
		if warned != c.warns {
			t.Errorf("%s, %d: warnings %q", c.fields, c.order, m.Report().Warnings)
		}
	}
}

// TestSquareStacks: square matrices fit both ways round, and the file's others or the
// release of PEFT decide.
func TestSquareStacks(t *testing.T) {
	const module = "model.layers.0.mlp.experts"
	down := numbered{module + ".down_proj", 1, []int64{3, 4, 4}}
	wide := numbered{module + ".gate_up_proj", 5, []int64{3, 8, 4}}
	both := `, "target_modules": [], "target_parameters": ["experts.down_proj", "experts.gate_up_proj"]`
	inner := func(in, out int64) []numbered { return stackOf(module+".base_layer", 3, in, out) }
	for _, c := range []struct {
		name, config, fields string
		more                 []numbered
		swapped, refused     bool // B for the rows
	}{
		{"no version", mixtral, downOnly, nil, false, true},
		{"0.18", mixtral, downOnly + `, "peft_version": "0.18.1"`, nil, false, false},
		{"0.19.0", mixtral, downOnly + `, "peft_version": "0.19.0"`, nil, false, false},
		{"0.19.1", mixtral, downOnly + `, "peft_version": "0.19.1"`, nil, true, false},
		{"0.21.2", mixtral, downOnly + `, "peft_version": "0.21.2"`, nil, true, false},
		{"0.19.0 in development", mixtral, downOnly + `, "peft_version": "0.19.1.dev0"`, nil, false, true},
		{"0.20 in development", mixtral, downOnly + `, "peft_version": "0.20.0.dev0@abc"`, nil, true, false},
		{"0.19.0, transposed", gptOss, downOnly + `, "peft_version": "0.19.0"`, nil, true, false},
		{"0.21.2, transposed", gptOss, downOnly + `, "peft_version": "0.21.2"`, nil, false, false},
		{"unknown architecture", `{"model_type": "nova"}`, downOnly + `, "peft_version": "0.21.2"`, nil, false, true},
		{"unknown architecture, 0.18", `{"model_type": "nova"}`, downOnly + `, "peft_version": "0.18.0"`, nil, false, false},
		{"a sibling, swapped", mixtral, both + `, "peft_version": "0.18.0"`, inner(4, 8), true, false},
		{"a sibling, not swapped", mixtral, both + `, "peft_version": "0.21.2"`, inner(8, 4), false, false},
	} {
		adapter := stackOf(module, 3, 4, 4)
		base, dir := pairOf(t, c.config, []numbered{down, wide}, c.fields, append(slices.Clone(adapter), c.more...))
		m, err := tryPair(t, base, dir)
		if c.refused {
			if e := (*lazymerge.OrientationError)(nil); !errors.As(err, &e) || !strings.Contains(err.Error(), adapter[0].name) {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		want := down.values()
		a, b := adapter[0].values(), adapter[1].values()
		for at := range want {
			e, r, col := at/16, at/4%4, at%4
			o, i := r, col
			if !c.swapped {
				o, i = col, r
			}
			for k := range 2 {
				want[at] += b[o*6+k*3+e] * a[(e*2+k)*4+i]
			}
		}
		if got := mergedValues(t, m, 1<<20)[down.name]; !slices.Equal(got, want) {
			t.Errorf("%s: got\n%v, want\n%v", c.name, got, want)
		}
	}
}

// tryPair opens a pair that may be refused.
func tryPair(t *testing.T, base, adapter string) (*lazymerge.Model, error) {
	t.Helper()
	m, err := tryRef(t, base, adapter, lazymerge.Options{})
	if err != nil {
		return nil, err
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return openPair(t, base, adapter, lazymerge.Options{}), nil
}

// TestExpertsRefused: what does not fit is an error of a type of its own that names the
// tensor.
func TestExpertsRefused(t *testing.T) {
	const module = "model.layers.0.mlp.experts"
	var disk []numbered
	for e := range 3 {
		at := fmt.Sprintf("model.layers.0.block_sparse_moe.experts.%d.", e)
		disk = append(disk, numbered{at + "w1.weight", 1, []int64{4, 5}}, numbered{at + "w2.weight", 1, []int64{5, 4}}, numbered{at + "w3.weight", 1, []int64{4, 5}})
	}
	fused := []numbered{{module + ".down_proj", 1, []int64{3, 5, 4}}}
	both := `, "target_modules": [], "target_parameters": ["experts.down_proj", "experts.gate_up_proj"]`
	down := stackOf(module, 3, 4, 5)
	gateUp := stackOf(module+".base_layer", 3, 5, 8)
	renamed := func(x numbered, old, new string) numbered { x.name = strings.Replace(x.name, old, new, 1); return x }
	layer := func(expert string, in, out int64) []numbered {
		at := "base_model.model.model.layers.0.block_sparse_moe.experts." + expert
		return []numbered{{at + ".lora_A.weight", 1, []int64{2, in}}, {at + ".lora_B.weight", 1, []int64{out, 2}}}
	}
	for _, c := range []struct {
		name    string
		base    []numbered
		fields  string
		adapter []numbered
		target  any
		word    string
	}{
		{"experts do not divide", disk, downOnly, stackOf(module, 5, 4, 5), new(*transform.ExpertsError), module + ".lora_A"},
		{"rank", disk, downOnly + `, "rank_pattern": {"experts.down_proj": 4}`, down, new(*peft.RankError), module + ".lora_A"},
		{"A's size", disk, downOnly, stackOf(module, 3, 6, 5), new(*transform.ShapeError), module + ".lora_A"},
		{"B's size", disk, downOnly, stackOf(module, 3, 4, 6), new(*transform.ShapeError), module + ".lora_B"},
		{"outer level missing", disk, both, gateUp, new(*peft.MissingTensorError), module + ".lora_A"},
		{"inner level missing", disk, both, down, new(*peft.MissingTensorError), module + ".base_layer.lora_A"},
		{"one level too many", disk, downOnly, append(slices.Clone(down), gateUp...), new(*lazymerge.UnmatchedError), module + ".base_layer.lora_A"},
		{"B missing", disk, downOnly, down[:1], new(*peft.MissingTensorError), module + ".lora_B"},
		{"A renamed", disk, both, append([]numbered{renamed(down[0], "experts", "expertz"), down[1]}, gateUp...), new(*peft.MissingTensorError), "expertz"},
		{"another tensor", disk, downOnly, append(slices.Clone(down), renamed(down[0], "lora_A", "lora_C")), new(*peft.UnknownTensorsError), "lora_C"},
		{"another module", disk, downOnly, append(slices.Clone(down), renamed(down[0], "experts", "extras"), renamed(down[1], "experts", "extras")), new(*peft.RankError), "extras"},
		{"no target_parameters", disk, "", append(slices.Clone(down), gateUp...), new(*peft.UnknownTensorsError), "base_layer"},
		{"unknown order", disk, downOnly + `, "lora_B_layout": "sorted"`, down, new(*peft.FieldError), "lora_B_layout"},
		{"DoRA", disk, downOnly + `, "use_dora": true`, down, new(*peft.MissingTensorError), "lora_magnitude_vector"},
		{"expert out of range", disk, "", layer("3.w2", 4, 5), new(*transform.ExpertsError), "experts.3.w2"},
		{"expert of a stack out of range", fused, "", layer("3.w2", 4, 5), new(*transform.ExpertsError), "experts.3.w2"},
		{"layer's size", fused, "", layer("1.w2", 4, 6), new(*transform.ShapeError), "experts.1.w2"},
		{"collision", disk, downOnly, append(slices.Clone(down), layer("1.w2", 4, 5)...), new(*lazymerge.CollisionError), "experts.1.w2"},
		{"collision in a stack", fused, downOnly, append(slices.Clone(down), layer("1.w2", 4, 5)...), new(*lazymerge.CollisionError), "experts.1.w2"},
	} {
		base, dir := pairOf(t, mixtral, c.base, c.fields, c.adapter)
		if _, err := tryPair(t, base, dir); err == nil || !errors.As(err, c.target) || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestRowsOfJoinedLayers merges adapters of layers that the base stores joined, split
// or transposed.
func TestRowsOfJoinedLayers(t *testing.T) {
	const phi = `{"model_type": "phi3", "architectures": ["Phi3ForCausalLM"], "num_attention_heads": 4, "num_key_value_heads": 2}`
	const molmo = `{"model_type": "molmo2_text", "architectures": ["Molmo2TextModel"], "num_attention_heads": 4, "num_key_value_heads": 2}`
	qkv := numbered{"model.layers.0.self_attn.qkv_proj.weight", 1, []int64{16, 3}} // 8, 4 and 4 rows
	gateUp := numbered{"model.layers.0.mlp.gate_up_proj.weight", 9, []int64{10, 3}}
	fused := numbered{"blocks.0.self_attn.att_proj.weight", 1, []int64{16, 3}}
	at := "model.layers.0."
	for _, c := range []struct {
		config, module string
		disk           numbered
		first, rows    int64
	}{
		{phi, at + "self_attn.q_proj", qkv, 0, 8},
		{phi, at + "self_attn.k_proj", qkv, 8, 4},
		{phi, at + "self_attn.v_proj", qkv, 12, 4},
		{phi, at + "mlp.gate_proj", gateUp, 0, 5},
		{phi, at + "mlp.up_proj", gateUp, 5, 5},
		{molmo, "blocks.0.self_attn.q_proj", fused, 0, 8},
		{molmo, "blocks.0.self_attn.k_proj", fused, 8, 4},
		{molmo, "blocks.0.self_attn.v_proj", fused, 12, 4},
	} {
		layer := func(rows int64) []numbered {
			return []numbered{
				{"base_model.model." + c.module + ".lora_A.weight", 3, []int64{2, 3}},
				{"base_model.model." + c.module + ".lora_B.weight", 7, []int64{rows, 2}},
			}
		}
		base, dir := pairOf(t, c.config, []numbered{c.disk}, "", layer(c.rows))
		want := c.disk.values()
		for n, v := range product(layer(c.rows)[0], layer(c.rows)[1]) {
			want[c.first*3+int64(n)] += v
		}
		if got := mergedValues(t, openPair(t, base, dir, lazymerge.Options{}), 7)[c.disk.name]; !slices.Equal(got, want) {
			t.Errorf("%s: got\n%v, want\n%v", c.module, got, want)
		}
		base, dir = pairOf(t, c.config, []numbered{c.disk}, "", layer(c.rows+1))
		if _, err := tryPair(t, base, dir); err == nil || !errors.As(err, new(*transform.ShapeError)) || !strings.Contains(err.Error(), c.module+".lora_B") {
			t.Errorf("%s, one row more: %v", c.module, err)
		}
	}
}

// TestQuantizedStack: experts in blocks of four bits are no adapter's fault.
func TestQuantizedStack(t *testing.T) {
	base, dir := pairOf(t, gptOss, []numbered{{"model.layers.0.mlp.experts.down_proj_blocks", 1, []int64{3, 5, 4}}}, downOnly,
		stackOf("model.layers.0.mlp.experts", 3, 4, 5))
	if _, err := tryPair(t, base, dir); !errors.As(err, new(*lazymerge.QuantizedError)) {
		t.Error(err)
	}
}

// TestRowsOfSplitLayers merges the adapter of a layer that the base stores in parts.
func TestRowsOfSplitLayers(t *testing.T) {
	at := "nomic_bert.layers.0.self_attn."
	var disk []numbered
	for i, name := range []string{"q_proj", "k_proj", "v_proj"} {
		disk = append(disk, numbered{at + name + ".weight", 10 * i, []int64{2, 3}})
	}
	a := numbered{"base_model.model.nomic_bert.encoder.layers.0.attn.Wqkv.lora_A.weight", 3, []int64{2, 3}}
	b := numbered{"base_model.model.nomic_bert.encoder.layers.0.attn.Wqkv.lora_B.weight", 7, []int64{6, 2}}
	base, dir := pairOf(t, `{"model_type": "nomic_bert", "architectures": ["NomicBertForMaskedLM"]}`, disk, "", []numbered{a, b})
	got := mergedValues(t, openPair(t, base, dir, lazymerge.Options{}), 1<<20)
	delta := product(a, b)
	for i, d := range disk {
		want := d.values()
		for n := range want {
			want[n] += delta[6*i+n]
		}
		if !slices.Equal(got[d.name], want) {
			t.Errorf("%s: got %v, want %v", d.name, got[d.name], want)
		}
	}
}

// TestFewExperts: parts of a list that is too short hold nothing.
func TestFewExperts(t *testing.T) {
	disk := []numbered{{"model.layers.1.mlp.experts.0.down_proj.weight", 1, []int64{3, 2}}}
	base, dir := pairOf(t, `{"model_type": "ernie4_5_vl_moe"}`, disk, `, "target_modules": [], "target_parameters": ["experts.down_proj"]`,
		stackOf("model.layers.1.mlp.vision_moe.experts", 1, 2, 3))
	if _, err := tryPair(t, base, dir); err == nil {
		t.Error("merged into no expert")
	}
}

// TestOddShapes: whatever shapes meet, the pair opens and reads or is refused.
func TestOddShapes(t *testing.T) {
	bases := [][]int64{{}, {6}, {2, 3}, {16, 4}, {3, 5, 4}, {3, 8, 4}, {3, 4, 8}, {1, 4, 4}, {3, 4, 4}, {3, 5, 4, 1}, {0}, {0, 4}, {4, 0}, {0, 5, 4}, {3, 0, 4}, {3, 5, 0}}
	factorsA := [][]int64{{}, {2}, {6, 4}, {2, 4}, {6, 8}, {4, 4}, {6, 4, 1}}
	factorsB := [][]int64{{1}, {5, 6}, {4, 6}, {4, 2}, {8, 6}, {4, 2, 1}}
	places := []struct{ config, disk, fields, module string }{
		{mixtral, "model.layers.0.mlp.experts.down_proj", downOnly, "model.layers.0.mlp.experts"},
		{gptOss, "model.layers.0.mlp.experts.down_proj", downOnly + `, "peft_version": "0.21.2"`, "model.layers.0.mlp.experts"},
		{mixtral, "model.layers.0.mlp.experts.gate_up_proj", "", "model.layers.0.mlp.experts.1.w3"},
		{gptOss, "model.layers.0.mlp.experts.gate_up_proj", "", "model.layers.0.mlp.experts.1.up_proj"},
		{`{"model_type": "inkling2_text"}`, "model.layers.0.mlp.experts.w13_weight", strings.Replace(downOnly, "down_proj", "gate_up_proj", 1), "model.layers.0.mlp.experts"},
		{`{"model_type": "phi3", "num_attention_heads": 4, "num_key_value_heads": 2}`, "model.layers.0.self_attn.qkv_proj.weight", "", "model.layers.0.self_attn.k_proj"},
		{`{"model_type": "ernie4_5_vl_moe"}`, "model.layers.0.mlp.gate.weight", "", "model.layers.0.mlp.text_moe.gate"},
	}
	r := rand.New(rand.NewPCG(4, 4))
	opened := 0
	for range 600 {
		place, disk := places[r.IntN(len(places))], bases[r.IntN(len(bases))]
		a, b := factorsA[r.IntN(len(factorsA))], factorsB[r.IntN(len(factorsB))]
		base, dir := pairOf(t, place.config, []numbered{{place.disk, 1, disk}}, place.fields, []numbered{
			{"base_model.model." + place.module + ".lora_A.weight", 1, a}, {"base_model.model." + place.module + ".lora_B.weight", 1, b},
		})
		if m, err := tryPair(t, base, dir); err == nil {
			opened++
			readPieces(t, m, 100)
		}
	}
	if opened == 0 {
		t.Error("no pair opened")
	}
}

// TestUnknownOrderOfLevels: in a module that no table knows the shapes tell which level
// is for which parameter, or nothing does.
func TestUnknownOrderOfLevels(t *testing.T) {
	const module = "net.0.moe"
	fields := `, "target_modules": [], "target_parameters": ["moe.wide", "moe.back"], "peft_version": "0.18.0"`
	wide := numbered{module + ".wide", 1, []int64{3, 4, 8}}
	adapter := append(stackOf(module+".base_layer", 3, 4, 8), stackOf(module, 3, 5, 4)...)
	base, dir := pairOf(t, `{"model_type": "nova"}`, []numbered{wide, {module + ".back", 1, []int64{3, 5, 4}}}, fields, adapter)
	r := openPair(t, base, dir, lazymerge.Options{}).Report()
	for _, c := range r.Edits {
		if inner := strings.Contains(c.Keys[0], "base_layer"); inner != (c.Tensor == wide.name) {
			t.Errorf("%s gets %s", c.Tensor, c.Keys)
		}
	}
	base, dir = pairOf(t, `{"model_type": "nova"}`, []numbered{wide, {module + ".back", 1, []int64{3, 8, 4}}}, fields,
		append(stackOf(module+".base_layer", 3, 4, 8), stackOf(module, 3, 4, 8)...))
	if _, err := tryPair(t, base, dir); !errors.As(err, new(*lazymerge.UnmatchedError)) || !strings.Contains(err.Error(), "fits several") {
		t.Error(err)
	}
}
