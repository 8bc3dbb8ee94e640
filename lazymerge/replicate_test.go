package lazymerge

import (
	"slices"
	"strings"
	"testing"
)

func named(names ...string) []slot {
	out := make([]slot, len(names))
	for i, n := range names {
		out[i].name = n
	}
	return out
}

func TestReplicate(t *testing.T) {
	base := named("model.embed_tokens.weight", "model.layers.0.mlp.weight", "model.layers.1.mlp.weight", "model.layers.2.mlp.weight")
	got, err := replicate(base, [][2]int{{0, 2}, {1, 3}})
	if err != nil {
		t.Fatal(err)
	}
	if want := (layerMap{0, 1, 1, 2}); !slices.Equal(got.layers, want) {
		t.Errorf("layers %v, want %v", got.layers, want)
	}
	var names []string
	for _, s := range got.slots {
		names = append(names, s.name)
	}
	want := "model.embed_tokens.weight model.layers.0.mlp.weight model.layers.1.mlp.weight model.layers.2.mlp.weight model.layers.3.mlp.weight"
	if strings.Join(names, " ") != want {
		t.Errorf("names %v", names)
	}
}

func TestReplicateRefuses(t *testing.T) {
	base := named("model.layers.0.w", "model.layers.1.w")
	for _, r := range [][][2]int{{{0, 3}}, {{-1, 1}}, {{1, 1}}, {{1, 0}}} {
		if _, err := replicate(base, r); err == nil {
			t.Errorf("replicate(%v) of two layers succeeds", r)
		}
	}
	if _, err := replicate(named("embed.weight"), [][2]int{{0, 1}}); err == nil {
		t.Error("replicate of a base without layers succeeds")
	}
	if _, err := replicate(named("a.layers.0.w", "b.layers.0.w"), [][2]int{{0, 1}}); err == nil {
		t.Error("replicate of a base with two stacks succeeds")
	}
	var many [][2]int
	for range 1 << 14 {
		many = append(many, [2]int{0, 2})
	}
	if _, err := replicate(base, many); err == nil {
		t.Error("replicate to 32768 layers succeeds")
	}
}
