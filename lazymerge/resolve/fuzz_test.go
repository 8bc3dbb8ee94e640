package resolve

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
)

// kindsFuzzed are model types with rules of every kind, and some without.
var kindsFuzzed = []string{"", "llava", "vit", "kimi_k25", "inkling2", "t5", "qwen2_vl", "mixtral", "gpt_neox", "gpt2", "bert", "llama", "molmo2", "gemma4", "qwen3_vl_moe", "clip"}

func FuzzFind(f *testing.F) {
	f.Add(strings.Join(llavaDisk, "\n"), uint8(1), "LlavaForConditionalGeneration", "model.language_model.layers.0.self_attn.q_proj", "weight", true)
	f.Add(strings.Join(llavaNew, "\n"), uint8(1), "", "language_model.model.layers.0.self_attn.q_proj", "weight", false)
	f.Add(strings.Join(vitDisk, "\n"), uint8(2), "ViTModel", "layers.0.mlp.fc1", "weight", false)
	f.Add("a..b\n.\n\n..", uint8(3), "", "..", "", true)
	f.Add("model.mtp.layers.0.x\nattn_res.attn_queries.7", uint8(4), "MtpModel", "layers.8.attention_input", "query", true)
	f.Add("shared.weight\nmodel.900000001.weight", uint8(5), "T5Model", "lm_head", "weight", true)
	f.Fuzz(func(t *testing.T, disk string, kind uint8, class, module, param string, tie bool) {
		base := Base{
			Names: strings.Split(disk, "\n"), ModelType: kindsFuzzed[int(kind)%len(kindsFuzzed)], Architectures: []string{class},
			Config: func(p string) any {
				if strings.HasSuffix(p, "tie_word_embeddings") {
					return tie
				}
				return nil
			},
		}
		x := New(base)
		m, err := x.Find(module, param)
		again, err2 := New(base).Find(module, param)
		if m != again || !reflect.DeepEqual(err, err2) {
			t.Fatalf("%+v, %v; then %+v, %v", m, err, again, err2)
		}
		var missing *NotFoundError
		var several *AmbiguousError
		var converted *ConvertedError
		var named []string
		switch {
		case err == nil:
			named = []string{m.Name}
		case errors.As(err, &missing):
			named = missing.Nearest
		case errors.As(err, &several):
			if named = several.Candidates; len(named) < 2 {
				t.Fatalf("ambiguous between %q", named)
			}
		case errors.As(err, &converted):
			named = converted.Sources
		default:
			t.Fatalf("untyped error %v", err)
		}
		for _, n := range named {
			if !slices.Contains(base.Names, n) {
				t.Fatalf("%q is not in the base (%+v, %v)", n, m, err)
			}
		}
		if m.Tied != (m.Own != "") && err == nil && m.Tied {
			t.Fatalf("tied without a name of its own: %+v", m)
		}
		if slices.Contains(base.Names, join(module, param)) && err == nil && m.Name != join(module, param) {
			t.Fatalf("the base's own name became %+v", m)
		}
		x.TiedTo(module)
		x.NewName(module, param)
		x.Conv1D(module)
		x.TaskNames("BertForSequenceClassification")(base.Names[0])
	})
}

// TestConcurrent asks one index from many goroutines; the race detector judges.
func TestConcurrent(t *testing.T) {
	x := New(Base{Names: llavaDisk, ModelType: "llava", Architectures: []string{"LlavaForConditionalGeneration"}})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, n := range llavaNew {
				i := strings.LastIndexByte(n, '.')
				if _, err := x.Find(n[:i], n[i+1:]); err != nil {
					t.Error(err)
				}
			}
			x.TiedTo(llavaDisk[0])
			x.NewName("lm_head", "weight")
			x.Find("nothing.like.this", "weight")
		})
	}
	wg.Wait()
}
