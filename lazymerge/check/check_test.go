package check

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"lorafs/lazymerge/diagnose"
)

// expected are the findings of stored cases that PEFT merges as well.
var expected = map[string]string{
	"adalora-pruned-away":   "modules-untrained",  // AdaLoRA pruned one module to nothing
	"llama-named-default":   "names-with-adapter", // PEFT 0.21.2 loads it under that one name
	"llama-wrapped-compile": "names-foreign",
	"llama-wrapped-fsdp":    "names-foreign",
}

// TestAdaptersOfPEFTAreHealthy checks every stored adapter that PEFT merges, alone and
// with its base.
func TestAdaptersOfPEFTAreHealthy(t *testing.T) {
	const goldens = "../../integration/testdata/goldens/"
	entries, err := os.ReadDir(goldens + "cases")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, e := range entries {
		dir := filepath.Join(goldens, "cases", e.Name())
		var c struct{ Base, Expect string }
		text, err := os.ReadFile(filepath.Join(dir, "case.json"))
		if err == nil {
			err = json.Unmarshal(text, &c)
		}
		if err != nil {
			t.Fatal(err)
		}
		adapter := filepath.Join(dir, "adapter")
		if _, err := os.Stat(adapter); c.Expect == "refuse" || err != nil {
			continue
		}
		for _, base := range []string{"", goldens + "bases/" + c.Base} {
			for _, f := range findings(t, []string{adapter}, Options{Base: base, Merge: buffers(t)}) {
				if expected[e.Name()] != f.Code {
					t.Errorf("%s (base %q): %s: %s", e.Name(), base, f.Code, f.Message)
				}
			}
		}
		checked++
	}
	if checked < 400 {
		t.Fatalf("only %d cases were checked", checked)
	}
}

// TestSingleFilesAreHealthy checks the stored adapters that are one file, and the merged
// models beside them.
func TestSingleFilesAreHealthy(t *testing.T) {
	files, err := filepath.Glob("../../integration/testdata/diffusion/cases/*/*.safetensors")
	if err != nil || len(files) < 100 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	slices.SortStableFunc(files, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) }) // a model in front would be the base
	r, err := Run(context.Background(), files, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range r.Results {
		want := KindAdapter
		if strings.HasSuffix(x.Path, "merged.safetensors") {
			want = KindBase
		}
		if x.Kind != want || x.Verdict != diagnose.VerdictOK {
			t.Errorf("%+v", x)
		}
	}
}

func findings(t *testing.T, paths []string, o Options) []diagnose.Finding {
	t.Helper()
	var found []diagnose.Finding
	for _, r := range results(t, paths, o) {
		found = append(found, r.Findings...)
	}
	return found
}

func results(t *testing.T, paths []string, o Options) []diagnose.Result {
	t.Helper()
	r, err := Run(context.Background(), paths, o)
	if err != nil {
		t.Fatal(err)
	}
	return r.Results
}

// TestWhatLiesAtAPath checks which subjects a path leads to.
func TestWhatLiesAtAPath(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("HF_HUB_CACHE", filepath.Join(dir, "no-cache"))
	all := llama.with("lib/a/adapter_config.json", config, "lib/a/adapter_model.safetensors", factors(),
		"lib/b.safetensors", sdScripts["one.safetensors"], "one.safetensors", sdScripts["one.safetensors"],
		"run/checkpoint-2/policy/adapter_config.json", config, "run/checkpoint-2/policy/adapter_model.safetensors", factors(),
		"run/checkpoint-2/reference/adapter_config.json", config, "run/checkpoint-2/reference/adapter_model.safetensors", factors(),
		"run/checkpoint-10/adapter_config.json", config, "run/checkpoint-10/adapter_model.safetensors", factors(),
		"run/checkpoint-11/config.json", "{}", "run/checkpoint-11/model.safetensors", weights(model()...),
		"run/adapter_config.json", config, "run/adapter_model.safetensors", factors(),
		"run/runs/events", "x", "run/final/adapter_config.json", config, "run/final/adapter_model.safetensors", factors(),
		"shards/model-00001-of-00002.safetensors", weights(model()...))
	all.write(t, dir)
	for paths, want := range map[string]string{
		"adapter":                           "adapter adapter",
		"adapter/adapter_model.safetensors": "adapter adapter",
		"adapter/adapter_config.json":       "adapter adapter",
		"base":                              "base base",
		"base/model.safetensors":            "base/model.safetensors base",
		"base/config.json":                  "base base",
		"base adapter":                      "base base, adapter adapter",
		"base adapter+adapter@0.5":          "base base, adapter+adapter@0.5 stack",
		"one.safetensors":                   "one.safetensors adapter",
		"lib":                               "lib/a adapter, lib/b.safetensors adapter",
		"shards/model-00001-of-00002.safetensors": "shards/model-00001-of-00002.safetensors weights",
		"run":              "run/checkpoint-2/policy adapter, run/checkpoint-2/reference adapter, run/checkpoint-10 adapter, run/checkpoint-11 base, run/final adapter, run adapter",
		"name=run":         "run/checkpoint-2/policy adapter, run/checkpoint-2/reference adapter, run/checkpoint-10 adapter, run/checkpoint-11 base, run/final adapter, run adapter",
		"name=adapter":     "name=adapter adapter",
		"run/checkpoint-2": "run/checkpoint-2/policy adapter, run/checkpoint-2/reference adapter",
	} {
		var got []string
		for _, r := range results(t, strings.Fields(paths), Options{Merge: buffers(t)}) {
			got = append(got, r.Path+" "+r.Kind)
			if r.Verdict != diagnose.VerdictOK {
				t.Errorf("%s: %+v", paths, r)
			}
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: got %s, want %s", paths, strings.Join(got, ", "), want)
		}
	}
}

// TestEmptyCheckpoint is told alike by its own path and by that of its run.
func TestEmptyCheckpoint(t *testing.T) {
	dir := t.TempDir()
	tree{"run/checkpoint-3/rng_state.pth": "x"}.write(t, dir)
	for _, path := range []string{"run", "run/checkpoint-3", "run/checkpoint-3/"} {
		r := results(t, []string{dir + "/" + path}, Options{Merge: buffers(t)})
		if len(r) != 1 || len(r[0].Findings) != 1 || r[0].Findings[0].Code != "checkpoint-no-adapter" {
			t.Errorf("%s: %+v", path, r)
		}
	}
}

// TestRunsBelow checks that each checkpoint of runs one level down has a result of its
// own, beside adapters, too, and when none of them can be used.
func TestRunsBelow(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	good := func(t tree, path string) tree {
		return t.with(path+"/adapter_config.json", config, path+"/adapter_model.safetensors", factors())
	}
	one := good(tree{}, "sw/v0/checkpoint-500").
		with("sw/v0/checkpoint-1000/adapter_config.json", config, "sw/v0/checkpoint-1000/adapter_model.safetensors", emptyFile)
	lost := tree{"lost/v0/checkpoint-5/optimizer.bin": "x", "lost/v1/checkpoint-5/trainer_state.json": "{}"}
	both := good(good(good(tree{}, "both/checkpoint-1"), "both/v0/checkpoint-2/policy"), "both/v0")
	beside := good(good(good(tree{}, "lib/a"), "lib/b/checkpoint-7"), "lib/c").with("lib/b/checkpoint-8/README.md", "x")
	for _, x := range []tree{one, lost, both, beside} {
		x.write(t, dir)
	}
	for path, want := range map[string]string{
		"sw":   "sw/v0/checkpoint-500 ok, sw/v0/checkpoint-1000 broken",
		"lost": "lost/v0/checkpoint-5 broken, lost/v1/checkpoint-5 broken",
		"both": "both/checkpoint-1 ok, both/v0/checkpoint-2/policy ok, both/v0 ok",
		"lib":  "lib/a ok, lib/b/checkpoint-7 ok, lib/b/checkpoint-8 broken, lib/c ok",
	} {
		var got []string
		for _, r := range results(t, []string{path}, Options{}) {
			got = append(got, r.Path+" "+string(r.Verdict))
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: got %s, want %s", path, strings.Join(got, ", "), want)
		}
	}
}

// TestSettingsBesideAdapters checks that settings which will lose an adapter are named
// whatever lies beside them, once, and sound ones raise nothing.
func TestSettingsBesideAdapters(t *testing.T) {
	adapter := func(path string) tree {
		return tree{path + "adapter_config.json": config, path + "adapter_model.safetensors": factors()}
	}
	for name, c := range map[string]struct {
		with tree
		at   string // of the settings
		want string
	}{
		"nothing":      {tree{}, "", "p"},
		"library":      {adapter("p/a/"), "", "p, p/a"},
		"place":        {adapter("p/a/"), "configs/", "p, p/a"},
		"adapter":      {adapter("p/"), "", "p, p"},
		"broken":       {tree{"p/adapter_model.safetensors": emptyFile}, "", "p, p"},
		"run":          {adapter("p/checkpoint-1/"), "", "p, p/checkpoint-1"},
		"run below":    {adapter("p/out/checkpoint-1/"), "", "p, p/out/checkpoint-1"},
		"of run below": {adapter("p/out/checkpoint-1/"), "out/", "p/out, p/out/checkpoint-1"},
		"empty run":    {tree{"p/out/checkpoint-1/README.md": ""}, "", "p, p/out/checkpoint-1"},
	} {
		t.Run(name, func(t *testing.T) {
			for settings, want := range map[string]int{ungathered: 1, gathered: 0} {
				t.Chdir(t.TempDir())
				c.with.with("p/"+c.at+"ds_config.json", settings).write(t, ".")
				var paths []string
				risks := 0
				for _, r := range results(t, []string{"p"}, Options{}) {
					paths = append(paths, r.Path)
					if r.Kind == KindTraining {
						risks += len(r.Findings)
					}
				}
				if risks != want || want == 1 && strings.Join(paths, ", ") != c.want {
					t.Errorf("%d warnings, results %q; want %d, %s", risks, paths, want, c.want)
				}
			}
		})
	}
}

// TestFirstBase checks that a first path that is a model is what adapters are held
// against, as far as it can be opened.
func TestFirstBase(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	llama.with("base/model.safetensors", larger()).write(t, dir)
	if found := findings(t, []string{"adapter"}, Options{}); len(found) > 0 {
		t.Errorf("alone: %+v", found)
	}
	if found := findings(t, []string{"base", "adapter"}, Options{Merge: buffers(t)}); len(found) != 1 || found[0].Code != "shape-mismatch" {
		t.Errorf("with its base first: %+v", found)
	}
	if found := findings(t, []string{"adapter", "base"}, Options{Merge: buffers(t)}); len(found) > 0 {
		t.Errorf("with its base last: %+v", found)
	}
	if err := os.Truncate("base/model.safetensors", 400); err != nil {
		t.Fatal(err)
	}
	if found := findings(t, []string{"base", "adapter"}, Options{Merge: buffers(t)}); len(found) != 1 {
		t.Errorf("with a broken base first: %+v", found)
	}
}

// TestBaseOfAdaptersNames has bases with names that adapters have as well, as a file and as
// a directory: a base is one, and what is held against it is told of.
func TestBaseOfAdaptersNames(t *testing.T) {
	for _, name := range []string{"llm_adapter.blocks.0.weight", "vocoder.act.alpha", "soft_gate.weight", "x.rescale"} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			base := weights(some("x.weight", 4, 4), some("y.weight", 4, 4), some(name, 4))
			sdScripts.with("base.safetensors", base, "dir/model.safetensors", base, "dir/config.json", "{}",
				"lost.safetensors", weights(kohya("z"), kohyaUp("z"))).write(t, ".")
			for _, ref := range []string{"base.safetensors", "dir"} {
				for _, adapter := range []string{"one.safetensors", "lost.safetensors"} {
					r := results(t, []string{ref, adapter}, Options{Merge: buffers(t)})
					if len(r) != 2 || r[0].Kind != KindBase || r[0].Verdict != diagnose.VerdictOK || (r[1].Verdict == diagnose.VerdictOK) != (adapter == "one.safetensors") {
						t.Errorf("%s: %+v", ref, r)
					}
				}
			}
		})
	}
}

// sparse makes a weights file of which only the header takes room.
func sparse(t *testing.T, path string, shape []int64, names ...string) {
	t.Helper()
	bytes := int64(2)
	for _, d := range shape {
		bytes *= d
	}
	entries := make(map[string]any)
	for i, name := range names {
		entries[name] = map[string]any{"dtype": "BF16", "shape": shape, "data_offsets": []int64{int64(i) * bytes, int64(i+1) * bytes}}
	}
	header, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	text := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(len(text))+bytes*int64(len(names))); err != nil {
		t.Fatal(err)
	}
}

// TestLargeFilesAreNotRead has files of 100 GB: reading one would touch 25 million pages.
func TestLargeFilesAreNotRead(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	var modules, pairs []string
	for i := range 50 {
		name := fmt.Sprintf("model.layers.%d.mlp.up_proj", i)
		modules = append(modules, name+".weight")
		pairs = append(pairs, "base_model.model."+name+".lora_A.weight", "base_model.model."+name+".lora_B.weight")
	}
	sparse(t, "base/model.safetensors", []int64{1 << 15, 1 << 15}, modules...)
	sparse(t, "adapter/adapter_model.safetensors", []int64{1 << 15, 1 << 14}, slices.Concat(pairs)...)
	tree{"base/config.json": "{}", "adapter/adapter_config.json": `{"peft_type":"LORA","r":32768,"lora_alpha":1,"target_modules":["up_proj"]}`}.write(t, dir)

	before := faults(t)
	for _, path := range []string{"base", "base/model.safetensors"} {
		if found := findings(t, []string{path}, Options{}); len(found) > 0 {
			t.Errorf("%s: %+v", path, found)
		}
	}
	r, err := Run(context.Background(), []string{"adapter"}, Options{})
	if err != nil || r.Skipped != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	// A and B of a square are of no shape that fits, but all of it is in the header.
	if n := faults(t) - before; n > 200_000 {
		t.Errorf("%d pages were touched", n)
	}
}

func faults(t *testing.T) int64 {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return int64(u.Minflt + u.Majflt)
}

// TestDeepReadsAll checks that the budget keeps values from being read, and Deep does not.
func TestDeepReadsAll(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	tree{"adapter/adapter_config.json": change(change(config, "q_proj", "up_proj"), `"r":2`, `"r":8`)}.write(t, dir)
	sparse(t, "adapter/adapter_model.safetensors", []int64{8, 8}, prefix+"0.mlp.up_proj.lora_A.weight", prefix+"0.mlp.up_proj.lora_B.weight")
	f := newFinder(Options{})
	f.find("adapter")
	f.subjects[0].bytes = ValuesBudget + 1
	for deep, want := range map[bool]int{false: 0, true: 1} {
		f.opt.Deep = deep
		r, err := f.run(context.Background())
		if err != nil || len(r.Results[0].Findings) != want || r.Skipped != 1-want {
			t.Errorf("deep %v: %+v, %v", deep, r, err)
		}
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Run(ctx, []string{"x"}, Options{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestSpecialFiles checks that nothing waits for a FIFO.
func TestSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	llama.with(file, "-").write(t, dir)
	if err := syscall.Mkfifo(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo("one.safetensors", 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo("settings.json", 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"adapter", "one.safetensors", "settings.json", os.DevNull} {
		if found := findings(t, []string{path}, Options{}); len(found) != 1 {
			t.Errorf("%s: %+v", path, found)
		}
	}
}

// FuzzAdapterDirectory checks small directories of any content: there is a verdict, and
// what is wrong has a code.
func FuzzAdapterDirectory(f *testing.F) {
	f.Add("adapter_model.safetensors", []byte(config), []byte(factors()))
	f.Add("one.safetensors", []byte(""), []byte(sdScripts["one.safetensors"]))
	f.Add("model.safetensors", []byte("{}"), []byte(weights(model()...)))
	f.Add("adapter_model.bin", []byte(config), []byte("PK\x03\x04"))
	f.Add("adapter_model.safetensors", []byte(change(config, `"q_proj"`, `"q_proj","k_proj"`)), []byte(edited(func(s string) string { return "x." + s })))
	for _, c := range cases {
		if c.fault.tree != nil && c.fault.tree[file] != "" {
			f.Add("adapter_model.safetensors", []byte(c.fault.tree[configFile]), []byte(c.fault.tree[file]))
		}
	}
	f.Fuzz(func(t *testing.T, name string, settings, data []byte) {
		if name == "" || len(name) > 200 || strings.ContainsAny(name, "/\x00") || name == "." || name == ".." {
			t.Skip()
		}
		dir := t.TempDir()
		llama.write(t, dir)
		err := errors.Join(os.Mkdir(filepath.Join(dir, "dir"), 0o755), os.WriteFile(filepath.Join(dir, "dir", name), data, 0o644),
			os.WriteFile(filepath.Join(dir, "dir", "adapter_config.json"), settings, 0o644))
		if err != nil {
			t.Fatal(err)
		}
		o := Options{Merge: buffers(t)}
		for _, base := range []string{"", filepath.Join(dir, "base")} {
			o.Base = base
			for _, path := range []string{"dir", filepath.Join("dir", name)} {
				for _, r := range results(t, []string{filepath.Join(dir, path)}, o) {
					checkResult(t, r)
				}
			}
		}
	})
}

func checkResult(t *testing.T, r diagnose.Result) {
	t.Helper()
	if r.Path == "" || r.Kind == "" || r.Verdict != diagnose.Judge(r.Findings) {
		t.Errorf("%+v", r)
	}
	for _, f := range r.Findings {
		if f.Code == "" || f.Code == "error" || f.Message == "" {
			t.Errorf("%+v", f)
		}
	}
}

// TestManyWithOneBase opens adapters with a base at the same time, and keeps their order.
func TestManyWithOneBase(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	all := llama
	for i := range 40 {
		name := fmt.Sprintf("lib/a%02d/", i)
		all = all.with(name+"adapter_config.json", config, name+"adapter_model.safetensors", factors())
	}
	all.with("lib/a07/adapter_model.safetensors", emptyFile).write(t, dir)
	for _, paths := range [][]string{{"lib"}, {"base", "lib"}} {
		rs := results(t, paths, Options{Merge: buffers(t)})
		rs = rs[len(paths)-1:]
		for i, r := range rs {
			want := diagnose.VerdictOK
			if i == 7 {
				want = diagnose.VerdictBroken
			}
			if r.Path != fmt.Sprintf("lib/a%02d", i) || r.Verdict != want {
				t.Errorf("%d: %+v", i, r)
			}
		}
		if len(rs) != 40 {
			t.Errorf("%d results", len(rs))
		}
	}
}
