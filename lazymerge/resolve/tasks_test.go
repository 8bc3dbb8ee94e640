package resolve

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestTaskNames compares with what from_pretrained and save_pretrained of a task
// class did to the names of a base (gen/tasks.py).
func TestTaskNames(t *testing.T) {
	var file struct {
		Cases []struct {
			Type, Arch, Class string
			Tie               *bool
			Names             map[string]*string
			New               []string
		}
	}
	if err := json.NewDecoder(open(t, "testdata/tasks.json.gz")).Decode(&file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) < 40 {
		t.Fatalf("only %d cases", len(file.Cases))
	}
	for _, c := range file.Cases {
		x := New(Base{
			Names: slices.Collect(maps.Keys(c.Names)), ModelType: c.Type, Architectures: []string{c.Arch},
			Config: func(p string) any {
				if p == "tie_word_embeddings" && c.Tie != nil {
					return *c.Tie
				}
				return nil
			},
		})
		rename := x.TaskNames(c.Class)
		for _, disk := range slices.Sorted(maps.Keys(c.Names)) {
			want := c.Names[disk]
			got, keep := rename(disk)
			switch {
			case want == nil && keep && disk == "vit.embeddings.mask_token":
				// Only config.use_mask_token makes this parameter; readers ignore it.
			case want == nil && keep:
				t.Errorf("%s to %s: %s: kept as %s, transformers drops it", c.Arch, c.Class, disk, got)
			case want != nil && (!keep || got != *want):
				t.Errorf("%s to %s: %s: got %q (%v), want %s", c.Arch, c.Class, disk, got, keep, *want)
			}
		}
		for _, n := range c.New {
			i := strings.LastIndexByte(n, '.')
			if got := x.NewName(n[:max(i, 0)], n[i+1:]); got != n && got != withoutPrefix(n) {
				t.Errorf("%s to %s: NewName(%s) = %s", c.Arch, c.Class, n, got)
			}
		}
	}
}

func withoutPrefix(name string) string {
	_, rest, _ := strings.Cut(name, ".")
	return rest
}

// Experts lie on disk one by one although memory holds them as one tensor: a new
// prefix must not give them all that tensor's name.
func TestTaskNamesOfExperts(t *testing.T) {
	names := []string{"embed_tokens.weight", "layers.0.self_attn.q_proj.weight", "layers.0.block_sparse_moe.gate.weight", "norm.weight"}
	for _, expert := range []string{"0.w1", "0.w2", "0.w3", "1.w1", "1.w2", "1.w3"} {
		names = append(names, "layers.0.block_sparse_moe.experts."+expert+".weight")
	}
	x := New(Base{Names: names, ModelType: "mixtral", Architectures: []string{"MixtralModel"}})
	rename := x.TaskNames("MixtralForSequenceClassification")
	for _, disk := range names {
		if got, keep := rename(disk); !keep || got != "model."+disk {
			t.Errorf("%s: got %q (%v), want model.%[1]s", disk, got, keep)
		}
	}
}
