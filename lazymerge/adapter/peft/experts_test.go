package peft

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lorafs/lazymerge/transform"
)

func TestLayoutOf(t *testing.T) {
	for version, want := range map[string]transform.StackLayout{
		"":                  transform.LayoutUnknown,
		"main":              transform.LayoutUnknown,
		"0.17.1":            transform.LayoutInOut,
		"0.18":              transform.LayoutInOut,
		"0.18.2.dev0":       transform.LayoutInOut,
		"0.19.0":            transform.LayoutSwapTurned,
		"0.19.0.dev0":       transform.LayoutUnknown,
		"0.19.0rc1":         transform.LayoutUnknown,
		"0.19.1.dev0@12345": transform.LayoutUnknown,
		"0.19.1":            transform.LayoutSwapNotTurned,
		"0.19.1.post1":      transform.LayoutUnknown,
		"0.20.0.dev0":       transform.LayoutSwapNotTurned,
		"0.21.2":            transform.LayoutSwapNotTurned,
		"1.0":               transform.LayoutSwapNotTurned,
	} {
		if got := layoutOf(version); got != want {
			t.Errorf("%q: %d, want %d", version, got, want)
		}
	}
}

// stackItems are the levels of experts, A and B of two experts with rank 2.
func stackItems(levels ...string) []item {
	var items []item
	for _, l := range levels {
		items = append(items, it("base_model.model.m.experts"+l+".lora_A.weight", 4, 3), it("base_model.model.m.experts"+l+".lora_B.weight", 5, 4))
	}
	return items
}

func TestStack(t *testing.T) {
	dir := adapter(t, `"target_modules": ["q"], "target_parameters": ["m.experts.up", "experts.down", "other.experts.side", "down"], "alpha_pattern": {"experts.up": 8}`,
		append(stackItems(".base_layer", ""), it("base_model.model.m.q.lora_A.weight", 2, 3), it("base_model.model.m.q.lora_B.weight", 3, 2))...)
	r, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if len(r.Edits) != 2 || len(r.Warnings) != 0 {
		t.Fatalf("%d edits, warnings %q", len(r.Edits), r.Warnings)
	}
	s, ok := r.Edits[0].Transform.(transform.Stack)
	if !ok || r.Edits[0].Module != "m.experts" || len(s.Levels) != 2 || s.Plain != nil || s.Grouped {
		t.Fatalf("%+v", r.Edits[0])
	}
	if got := s.Levels[0].A.Name; got != "base_model.model.m.experts.base_layer.lora_A.weight" {
		t.Errorf("innermost is %s", got)
	}
	want := []transform.StackParam{{Name: "down", Rank: 2, Field: "r", Scale: 2}, {Name: "up", Rank: 2, Field: "r", Scale: 4}}
	if !slices.Equal(s.Params, want) {
		t.Errorf("%+v, want %+v", s.Params, want)
	}
	if _, ok := r.Edits[1].Transform.(transform.LowRank); !ok {
		t.Errorf("%+v", r.Edits[1])
	}
}

// A level that an outer one should enclose, and tensors that mean nothing there.
func TestStackErrors(t *testing.T) {
	fields := `"target_modules": [], "target_parameters": ["experts.up", "experts.down", "experts.side"]`
	for name, c := range map[string]struct {
		fields string
		items  []item
		target any
		word   string
	}{
		"no outermost level": {fields, stackItems(".base_layer"), new(*MissingTensorError), "m.experts.lora_A"},
		"no middle level":    {fields, stackItems("", ".base_layer.base_layer"), new(*MissingTensorError), "m.experts.base_layer.lora_A"},
		"not targeted":       {`"target_parameters": ["other.up"]`, stackItems("", ".base_layer"), new(*UnknownTensorsError), "experts.base_layer"},
		"no parameters":      {"", stackItems("", ".base_layer"), new(*UnknownTensorsError), "experts.base_layer"},
		"embedding":          {fields, append(stackItems(""), it("base_model.model.m.experts.base_layer.lora_embedding_A", 2, 3)), new(*UnknownTensorsError), "lora_embedding_A"},
		"bias":               {fields + `, "lora_bias": true`, stackItems(""), new(*MissingTensorError), "lora_B.bias"},
		"not a list":         {`"target_parameters": "experts.up"`, stackItems(""), new(*FieldError), "target_parameters"},
	} {
		_, err := Open(adapter(t, c.fields, c.items...), Options{})
		if err == nil || !errors.As(err, c.target) || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReadmeOfUnsloth(t *testing.T) {
	dir := adapter(t, `"target_modules": [], "target_parameters": ["experts.up"]`, stackItems("")...)
	for text, want := range map[string]int{"trained with PEFT": 0, "Made 2x faster with [Unsloth](https://…)": 1} {
		if err := os.WriteFile(filepath.Join(dir, "README.md"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Warnings) != want {
			t.Errorf("%q: warnings %q", text, r.Warnings)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
