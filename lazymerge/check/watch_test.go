package check

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// watched is a Watcher with a clock of its own and a directory that a run writes to.
type watched struct {
	*testing.T
	w   *Watcher
	dir string
	now time.Time
	age int // of the newest file, so that times differ
}

const (
	interval = 5 * time.Second
	settle   = 30 * time.Second
)

func watching(t *testing.T) *watched {
	dir := filepath.Join(t.TempDir(), "out")
	return &watched{T: t, dir: dir, now: time.Unix(1000, 0), w: &Watcher{Dir: dir, Settle: settle}}
}

// save writes a file as it is at one moment.
func (w *watched) save(name, content string) {
	w.Helper()
	if err := os.RemoveAll(filepath.Join(w.dir, name)); err != nil {
		w.Fatal(err)
	}
	tree{name: content}.write(w.T, w.dir)
	w.age++
	when := time.Unix(int64(w.age), 0)
	if err := os.Chtimes(filepath.Join(w.dir, name), when, when); err != nil {
		w.Fatal(err)
	}
}

// saveAdapter writes the adapter of a checkpoint, whole.
func (w *watched) saveAdapter(checkpoint string) {
	w.Helper()
	w.save(checkpoint+"/adapter_model.safetensors", factors())
	w.save(checkpoint+"/adapter_config.json", config)
}

func (w *watched) end(checkpoint string) {
	w.Helper()
	w.save(checkpoint+"/trainer_state.json", `{"global_step": 1}`)
}

// poll looks once, an interval after the last time, and compares what was judged:
// "checkpoint-1 ok" or "checkpoint-1 weights-empty".
func (w *watched) poll(want ...string) {
	w.Helper()
	w.now = w.now.Add(interval)
	results, err := w.w.Poll(context.Background(), w.now)
	if err != nil {
		w.Fatal(err)
	}
	var got []string
	for _, r := range results {
		rel, err := filepath.Rel(w.dir, r.Path)
		if err != nil {
			w.Fatal(err)
		}
		verdict := string(r.Verdict)
		for _, f := range r.Findings {
			verdict = f.Code
		}
		got = append(got, rel+" "+verdict)
	}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		w.Errorf("got %q, want %q", got, want)
	}
}

// silent polls until all that does not change has settled.
func (w *watched) silent() {
	w.Helper()
	for range settle / interval {
		w.poll()
	}
}

const emptyFile = " \x00\x00\x00\x00\x00\x00\x00" + `{"__metadata__":{"format":"pt"}}`

// TestWatchTrainer follows a run of transformers' Trainer, which writes the adapter, its
// state, and trainer_state.json last, and removes old checkpoints.
func TestWatchTrainer(t *testing.T) {
	w := watching(t)
	w.poll() // no directory yet
	w.saveAdapter("checkpoint-10")
	w.poll()
	w.save("checkpoint-10/optimizer.pt", "half")
	w.poll()
	w.save("checkpoint-10/trainer_state.json", `{"global_step":`)
	w.poll()
	w.end("checkpoint-10")
	w.poll("checkpoint-10 ok")
	w.silent()
	w.saveAdapter("checkpoint-20")
	w.end("checkpoint-20")
	if err := os.RemoveAll(filepath.Join(w.dir, "checkpoint-10")); err != nil {
		t.Fatal(err)
	}
	w.poll("checkpoint-20 ok")
	w.saveAdapter(".")
	w.save("log.txt", "it grows")
	w.poll()
	w.save("log.txt", "it grows on")
	for range settle/interval - 1 {
		w.poll()
		w.save("log.txt", strings.Repeat("it grows ", w.age))
	}
	w.poll(". ok")
	w.silent()
	if p := w.w.Pending(); len(p) > 0 {
		t.Error(p)
	}
}

// TestWatchEmptyAdapter is a run under ZeRO-3 whose adapter holds nothing: the first
// checkpoint tells.
func TestWatchEmptyAdapter(t *testing.T) {
	w := watching(t)
	w.save("checkpoint-10/adapter_model.safetensors", emptyFile)
	w.save("checkpoint-10/adapter_config.json", config)
	w.save("checkpoint-10/global_step10/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt", "half")
	w.poll()
	w.save("checkpoint-10/global_step10/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt", "whole")
	w.poll()
	w.end("checkpoint-10")
	w.poll() // seen once
	w.poll("checkpoint-10 weights-empty")
	w.silent()
	w.saveAdapter("checkpoint-20")
	w.end("checkpoint-20")
	w.poll("checkpoint-20 ok")
}

// TestWatchWaits checks that what is half written is not judged.
func TestWatchWaits(t *testing.T) {
	w := watching(t)
	whole := factors()
	w.save("checkpoint-1/README.md", "gathering takes minutes")
	for range 3 {
		w.silent()
	}
	for n := 1; n < len(whole); n += len(whole) / 8 {
		w.save("checkpoint-1/adapter_model.safetensors", whole[:n])
		for range settle/interval - 1 {
			w.poll()
		}
	}
	w.saveAdapter("checkpoint-1")
	w.silent()
	w.poll("checkpoint-1 ok")
	w.silent()
}

// TestWatchUnfinished checks that a save which stays half written is judged in the end,
// when nothing changes any more or a later one is there.
func TestWatchUnfinished(t *testing.T) {
	w := watching(t)
	w.save("checkpoint-1/adapter_model.safetensors", factors()[:300])
	w.save("checkpoint-1/adapter_config.json", config)
	w.silent()
	w.poll() // seen once
	w.poll("checkpoint-1 weights-header-past-end")
	w.save("checkpoint-2/README.md", "stopped before it saved")
	w.silent()
	if p := w.w.Pending(); len(p) != 1 || filepath.Base(p[0]) != "checkpoint-2" {
		t.Error(p)
	}
	w.save("checkpoint-3/README.md", "the next")
	w.poll()
	w.poll("checkpoint-2 checkpoint-no-adapter")
}

// TestWatchRemoval checks that a checkpoint that is being removed is not taken for a
// broken one.
func TestWatchRemoval(t *testing.T) {
	w := watching(t)
	for _, name := range []string{"checkpoint-1", "checkpoint-2"} {
		w.saveAdapter(name)
		w.end(name)
	}
	w.poll("checkpoint-1 ok", "checkpoint-2 ok")
	for i, gone := range []string{"checkpoint-1/adapter_model.safetensors", "checkpoint-3/adapter_model.safetensors", "checkpoint-3/adapter_config.json"} {
		if i == 1 {
			w.saveAdapter("checkpoint-3")
			w.end("checkpoint-3")
		}
		if err := os.Remove(filepath.Join(w.dir, gone)); err != nil {
			t.Fatal(err)
		}
		w.poll()
	}
	if err := os.RemoveAll(filepath.Join(w.dir, "checkpoint-3")); err != nil {
		t.Fatal(err)
	}
	w.silent()
	if p := w.w.Pending(); len(p) > 0 {
		t.Error(p)
	}
}

// TestWatchOthers has what other programs save: named adapters, directories of other
// names, files of sd-scripts, whole models.
func TestWatchOthers(t *testing.T) {
	w := watching(t)
	w.saveAdapter("checkpoint-5/policy")
	w.saveAdapter("checkpoint-5/reference")
	w.end("checkpoint-5")
	w.poll("checkpoint-5/policy ok", "checkpoint-5/reference ok")
	w.save("checkpoint-6/config.json", "{}")
	w.save("checkpoint-6/model.safetensors", weights(model()...))
	w.end("checkpoint-6")
	w.poll("checkpoint-6 ok")
	w.saveAdapter("tmp-checkpoint-7")
	w.saveAdapter("epoch_1")
	w.save("style-000001.safetensors", sdScripts["one.safetensors"])
	w.silent()
	w.poll("epoch_1 ok", "style-000001.safetensors ok")
	w.save("style-000001.safetensors", emptyFile) // written anew
	w.silent()
	w.poll()
	w.poll("style-000001.safetensors weights-empty")
}

// TestWatchBelow follows runs one level below the directory: each of their checkpoints is
// judged by itself, as soon as it is done.
func TestWatchBelow(t *testing.T) {
	w := watching(t)
	w.saveAdapter("v0/checkpoint-500")
	w.end("v0/checkpoint-500")
	w.poll("v0/checkpoint-500 ok")
	w.save("v0/checkpoint-1000/adapter_model.safetensors", emptyFile)
	w.save("v0/checkpoint-1000/adapter_config.json", config)
	w.end("v0/checkpoint-1000")
	w.saveAdapter("v1/checkpoint-500/policy")
	w.end("v1/checkpoint-500")
	w.poll("v1/checkpoint-500/policy ok")
	w.poll("v0/checkpoint-1000 weights-empty")
	w.saveAdapter("v1")
	w.saveAdapter("v1/checkpoint-501") // another run's checkpoint is not a later one
	for range settle/interval - 1 {
		w.save("v1/checkpoint-501/optimizer.pt", strings.Repeat("it grows ", w.age))
		w.poll()
	}
	w.poll()
	w.poll("v1 ok")
	w.end("v1/checkpoint-501")
	w.poll("v1/checkpoint-501 ok")
	w.silent()
	if p := w.w.Pending(); len(p) > 0 {
		t.Error(p)
	}
}

// TestWatchFinish checks what is judged at the end of a watch: all that no more writing can
// mend, and what is whole.
func TestWatchFinish(t *testing.T) {
	for name, c := range map[string]struct{ weights, config, state, want string }{
		"whole":          {factors(), config, "", "ok"},
		"empty":          {emptyFile, config, "", "weights-empty"},
		"half":           {factors()[:len(factors())-9], config, "", ""},
		"header":         {factors()[:100], config, "", ""},
		"nothing":        {"", config, "", ""},
		"no config":      {factors(), "-", "", ""},
		"no weights":     {"-", config, "", ""},
		"half, done":     {factors()[:300], config, "{}", "weights-header-past-end"},
		"torch archive":  {"PK\x03\x04" + strings.Repeat("x", 2000), config, "", "weights-pickle"},
		"half, no state": {factors()[:300], config, "{", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := watching(t)
			files := tree{}.with("checkpoint-1/adapter_model.safetensors", c.weights, "checkpoint-1/adapter_config.json", c.config, "checkpoint-1/trainer_state.json", c.state)
			if c.state == "" {
				delete(files, "checkpoint-1/trainer_state.json")
			}
			files.write(t, w.dir)
			results, err := w.w.Finish(context.Background(), w.now)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, r := range results {
				got = string(r.Verdict)
				for _, f := range r.Findings {
					got = f.Code
				}
			}
			if got != c.want || (len(w.w.Pending()) == 0) != (c.want != "") {
				t.Errorf("got %q, want %q; pending %q", got, c.want, w.w.Pending())
			}
		})
	}
}

// TestWatchBase checks that saves are opened with the base.
func TestWatchBase(t *testing.T) {
	w := watching(t)
	llama.with("base/model.safetensors", larger()).write(t, filepath.Join(filepath.Dir(w.dir), "in"))
	w.w.Base = filepath.Join(filepath.Dir(w.dir), "in", "base")
	w.w.Merge = buffers(t)
	w.saveAdapter("checkpoint-1")
	w.end("checkpoint-1")
	w.poll()
	w.poll("checkpoint-1 shape-mismatch")
}

// TestWatchSettings checks that settings which will lose the adapter are named once,
// before anything is saved.
func TestWatchSettings(t *testing.T) {
	w := watching(t)
	w.poll()
	w.save("ds_config.json", ungathered)
	w.poll(". training-zero3-ungathered")
	w.silent()
	w.save("v0/ds_config.json", ungathered)
	w.saveAdapter("v0/checkpoint-1")
	w.poll("v0 training-zero3-ungathered")
	w.poll()
}
