package diagnose

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lorafs/lazymerge"
	"lorafs/lazymerge/adapter/peft"
	"lorafs/lazymerge/adapter/single"
	"lorafs/lazymerge/checkpoint"
	"lorafs/lazymerge/modeldir"
	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// TestCheckpointNearby checks that the ways back to the trained values are named,
// and only those that are there.
func TestCheckpointNearby(t *testing.T) {
	empty := raw(`{"__metadata__":{"format":"pt"}}`, "")
	broken := map[string]string{"checkpoint-9/adapter_config.json": loraConfig, "checkpoint-9/adapter_model.safetensors": empty}
	add := func(more map[string]string) map[string]string {
		files := make(map[string]string)
		for _, m := range []map[string]string{broken, more} {
			for k, v := range m {
				files[k] = v
			}
		}
		return files
	}
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
		not   []string
	}{
		"nothing": {add(nil), []string{"stage3_gather"}, []string{"is near", "newest whole checkpoint of this run"}},
		"zero": {
			add(map[string]string{
				"checkpoint-9/zero_to_fp32.py":                                                    "",
				"checkpoint-9/global_step9/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt":        "",
				"checkpoint-9/global_step9/bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt":        "",
				"checkpoint-9/global_step10/zero_pp_rank_0_mp_rank_00_optim_states.pt":            "",
				"checkpoint-9/global_step11/mp_rank_00_model_states.pt":                           "",
				"checkpoint-9/global_step10/zero_pp_rank_0_mp_rank_00_model_states.pt":            "",
				"checkpoint-9/global_step10/layer_0_expert_0_mp_rank_00_model_states.pt":          "",
				"checkpoint-9/global_step10/zero_pp_rank_0_mp_rank_00_optim_states.pt.incomplete": "",
			}),
			[]string{"global_step10 (optimizer states of 1 rank)", "lorafs recover ", "checkpoint-9/global_step10 ", "/recovered-9"},
			[]string{"newest whole checkpoint of this run", "python", "checkpoint-9/recovered"},
		},
		"fsdp": {
			add(map[string]string{"checkpoint-9/pytorch_model_fsdp_0/__0_0.distcp": ""}),
			[]string{"lorafs recover ", "checkpoint-9/pytorch_model_fsdp_0 ", "/recovered-9"}, []string{"accelerate merge"},
		},
		"fsdp in one file": {
			add(map[string]string{"checkpoint-9/pytorch_model_fsdp.bin": "x"}),
			[]string{"lorafs recover ", "checkpoint-9/pytorch_model_fsdp.bin "}, nil,
		},
		"older checkpoint": {
			add(map[string]string{"checkpoint-8/adapter_config.json": loraConfig, "checkpoint-8/adapter_model.safetensors": goodFile}),
			[]string{"checkpoint-8 MOUNTPOINT"}, []string{"is near"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := dirOf(t, c.files)
			_, err := peft.Open(filepath.Join(dir, "checkpoint-9"), peft.Options{})
			checkFix(t, err, "weights-empty", c.want, c.not)
		})
	}
}

// TestNearbyOutput checks the ways back of a run's final adapter: they lie in the
// checkpoints below it.
func TestNearbyOutput(t *testing.T) {
	zero := func(files map[string]string, step int) {
		stored(t, files, fmt.Sprintf("out/checkpoint-%[1]d/global_step%[1]d", step), "stage1-world2-bf16/checkpoint-2/global_step2")
	}
	whole := func(files map[string]string, dir string) {
		files[dir+"/adapter_config.json"], files[dir+"/adapter_model.safetensors"] = loraConfig, goodFile
	}
	for name, c := range map[string]struct {
		add       func(files map[string]string)
		want, not []string // in their order
	}{
		"shards of several steps": {
			func(f map[string]string) { zero(f, 2); zero(f, 10); zero(f, 9) },
			[]string{"optimizer states of 2 ranks", "lorafs recover ", "out/checkpoint-10/global_step10 ", "out/recovered-10"}, nil,
		},
		"an older whole one": {
			func(f map[string]string) { zero(f, 10); whole(f, "out/checkpoint-9") },
			[]string{"lorafs recover ", "checkpoint-10/global_step10 ", "newest whole checkpoint", "checkpoint-9 MOUNTPOINT"}, nil,
		},
		"a whole one with shards": {
			func(f map[string]string) { zero(f, 10); whole(f, "out/checkpoint-10") },
			[]string{"checkpoint-10 MOUNTPOINT"}, []string{"lorafs recover"},
		},
		"universal": {
			func(f map[string]string) {
				stored(t, f, "out/checkpoint-3/global_step3_universal", "universal-stage2/checkpoint-2/global_step2_universal")
			},
			[]string{"universal checkpoint", "out/checkpoint-3/global_step3_universal ", "out/recovered-3"}, nil,
		},
		"files of a rank missing": {
			func(f map[string]string) {
				zero(f, 2)
				f["out/checkpoint-9/global_step9/zero_pp_rank_0_mp_rank_00_optim_states.pt"] = ""
				f["out/checkpoint-9/global_step9/zero_pp_rank_0_mp_rank_00_model_states.pt"] = ""
				f["out/checkpoint-9/global_step9/zero_pp_rank_1_mp_rank_00_model_states.pt"] = ""
			},
			[]string{"optimizer states of 1 and model states of 2", "out/checkpoint-9/global_step9 ", "optimizer states of 2 ranks", "out/checkpoint-2/global_step2 ", "/out/recovered-2"}, nil,
		},
		"recovered already": {
			func(f map[string]string) { zero(f, 2); whole(f, "out/recovered-2") },
			[]string{"was recovered already, in ", "lorafs check --base BASE ", "out/recovered-2"}, []string{"lorafs recover"},
		},
		"another thing in the way": {
			func(f map[string]string) { zero(f, 2); f["out/recovered-2"] = "x" },
			[]string{"lorafs recover ", "out/recovered-2-2"}, nil,
		},
		"no checkpoint-N": {
			func(f map[string]string) {
				stored(t, f, "out/global_step4", "stage1-world2-bf16/checkpoint-2/global_step2")
			},
			[]string{"lorafs recover ", "out/global_step4 ", "/out-recovered"}, nil,
		},
		"a step by another name": {
			func(f map[string]string) {
				stored(t, f, "out/best", "stage1-world2-bf16/checkpoint-2/global_step2")
			},
			[]string{"a training checkpoint is near", "lorafs recover ", "out/best ", "/out-recovered"}, nil,
		},
		"its model states alone": {
			func(f map[string]string) {
				stored(t, f, "out/global_step4", "stage2-world2-fp16/checkpoint-2/global_step2")
				delete(f, "out/global_step4/zero_pp_rank_0_mp_rank_00_optim_states.pt")
			},
			[]string{"optimizer files are missing", "lorafs recover --dtype saved ", "out/global_step4 "}, nil,
		},
		"several adapters": {
			func(f map[string]string) {
				stored(t, f, "out/checkpoint-2", "plain-two-adapters/checkpoint-2")
			},
			[]string{"several adapters (default, policy)", "lorafs recover --adapter default ", "out/checkpoint-2 "}, nil,
		},
		"of another run": {
			func(f map[string]string) {
				stored(t, f, "other", "stage1-world2-bf16/checkpoint-2/global_step2")
				f["other/adapter_config.json"] = loraConfig
			},
			nil, []string{"lorafs recover"},
		},
		"one that is broken": {
			func(f map[string]string) {
				zero(f, 2)
				f["out/checkpoint-2/global_step2/mp_rank_00_model_states.pt"] = "x"
			},
			[]string{"may be near", "no adapter can be rebuilt", "mp_rank_00_model_states.pt", "Once that is mended", "lorafs recover "}, nil,
		},
		"one without values": {
			func(f map[string]string) {
				stored(t, f, "out/checkpoint-2", "fsdp1-full-adapter/checkpoint-2")
			},
			[]string{"may be near", "it holds no tensors"}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"out/adapter_config.json": loraConfig, "out/adapter_model.safetensors": raw(`{"__metadata__":{"format":"pt"}}`, "")}
			c.add(files)
			_, err := peft.Open(filepath.Join(dirOf(t, files), "out"), peft.Options{})
			found := Explain(err)
			if len(found) != 1 || found[0].Code != "weights-empty" {
				t.Fatalf("%+v", found)
			}
			rest := found[0].Fix
			for _, want := range c.want {
				_, after, ok := strings.Cut(rest, want)
				if !ok {
					t.Fatalf("lacks %q in its place: %s", want, found[0].Fix)
				}
				rest = after
			}
			for _, not := range c.not {
				if strings.Contains(found[0].Fix, not) {
					t.Errorf("says %q: %s", not, found[0].Fix)
				}
			}
		})
	}
}

// stored adds the files of a real checkpoint.
func stored(t *testing.T, files map[string]string, as, from string) {
	t.Helper()
	root := os.DirFS(filepath.Join(realCheckpoints, from))
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(root, path)
		files[as+"/"+path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestWholeModel checks that the cure goes by the file's name and by what is in it.
func TestWholeModel(t *testing.T) {
	const wrapped = "../checkpoint/testdata/plain-bin/checkpoint-2/pytorch_model.bin"
	torch, err := os.ReadFile(wrapped)
	if err != nil {
		t.Fatal(err)
	}
	lora := raw(`{"base_model.model.q.lora_A.default.weight":{"dtype":"F32","shape":[1,4],"data_offsets":[0,16]}}`, zeros16)
	plain := raw(`{"model.q.weight":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`, zeros16)
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
		not   []string
	}{
		"model":         {map[string]string{"model.safetensors": plain}, []string{"leave model.safetensors its name"}, []string{"rename", "recover"}},
		"wrapped":       {map[string]string{"model.safetensors": lora}, []string{"lorafs recover ", "m/model.safetensors ", "/m-recovered", "leave model.safetensors"}, []string{"rename"}},
		"wrapped torch": {map[string]string{"pytorch_model.bin": string(torch)}, []string{"lorafs recover ", "m/pytorch_model.bin "}, []string{"rename", "model.safetensors"}},
		"recovered":     {map[string]string{"pytorch_model.bin": string(torch), "../m-recovered/adapter_config.json": loraConfig, "../m-recovered/adapter_model.safetensors": goodFile}, []string{"recovered already", "lorafs check"}, []string{"lorafs recover"}},
		"renamed":       {map[string]string{"adapter_model.safetensors": plain}, []string{"rename adapter_model.safetensors to model.safetensors"}, []string{"recover"}},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"m/adapter_config.json": loraConfig}
			for path, text := range c.files {
				files[filepath.Join("m", path)] = text
			}
			_, err := peft.Open(filepath.Join(dirOf(t, files), "m"), peft.Options{})
			checkFix(t, err, "weights-whole-model", c.want, c.not)
		})
	}
}

// TestWrappedModel has a PEFT model's own names in the place of an adapter's.
func TestWrappedModel(t *testing.T) {
	dir := dirOf(t, map[string]string{"full/model.safetensors": raw(`{"base_model.model.q.base_layer.weight":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`, zeros16)})
	_, err := single.Open(filepath.Join(dir, "full/model.safetensors"), single.Options{})
	checkFix(t, err, "weights-whole-model", nil, []string{"allow-unused"})
	checkFix(t, &peft.UnknownTensorsError{File: "x.safetensors", Tensors: []string{"a.lora_A.weight", "b.base_layer.weight"}}, "weights-whole-model", nil, nil)
	checkFix(t, &peft.UnknownTensorsError{File: "x.safetensors", Tensors: []string{"b.weight"}}, "tensor-unknown", nil, nil)
}

// TestNoCheckpoint checks that the newest checkpoint's fault is explained, and the others named.
func TestNoCheckpoint(t *testing.T) {
	dir := dirOf(t, map[string]string{
		"checkpoint-1/adapter_config.json": loraConfig, "checkpoint-1/adapter_model.safetensors": "x",
		"checkpoint-2/adapter_config.json": loraConfig, "checkpoint-2/adapter_model.safetensors": "GGUF",
	})
	_, err := modeldir.FindAdapters([]string{dir})
	found := Explain(err)
	if len(found) != 1 || found[0].Code != "weights-other-format" || !strings.Contains(found[0].Message, "checkpoint-1") {
		t.Errorf("%+v", found)
	}
}

// TestPipesNearby has named pipes beside what is explained: to open one would wait.
func TestPipesNearby(t *testing.T) {
	dir := dirOf(t, map[string]string{"run/a/adapter_config.json": loraConfig, "run/a/adapter_model.safetensors": "x"})
	for _, name := range []string{"pipe", "run/pipe", "run/a/pipe", "run/latest", "run/checkpoint-3", "run/global_step4"} {
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan []Finding)
	go func() {
		_, err := modeldir.FindAdapters([]string{filepath.Join(dir, "run/a")})
		if err == nil {
			_, err = peft.Open(filepath.Join(dir, "run/a"), peft.Options{})
		}
		done <- Explain(err)
	}()
	select {
	case found := <-done:
		if len(found) == 0 {
			t.Error("nothing is found")
		}
	case <-time.After(time.Minute):
		t.Fatal("it waits for a pipe")
	}
}

func TestJoinedErrors(t *testing.T) {
	known := &safetensors.ChangedError{Path: "p"}
	if found := Explain(errors.Join(known, errors.New("close failed"))); len(found) != 1 || found[0].Code != "input-changed" {
		t.Errorf("%+v", found)
	}
	if found := Explain(errors.Join(errors.New("a"), errors.New("b"))); len(found) != 1 || found[0].Code != "error" || found[0].Message != "a\nb" {
		t.Errorf("%+v", found)
	}
}

// TestBothNamesOfTheError checks that what users search for is in the text.
func TestBothNamesOfTheError(t *testing.T) {
	err := openWeights(raw(`{},"__metadata__":{"format":"pt"}}      `, ""))(t)
	var b bytes.Buffer
	WriteText(&b, "x", Explain(err))
	text := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{"InvalidHeaderDeserialization", "invalid JSON in header"} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, b.String())
		}
	}
}

func TestWriteText(t *testing.T) {
	var b bytes.Buffer
	WriteText(&b, "my\x1b[31madapter", []Finding{{
		Code: "x-y", File: "/a b/c", Message: strings.Repeat("word ", 30), Cause: "because", Fix: "Do this:\n\tcmd  with  spaces " + strings.Repeat("long ", 30) + "\nThen that.",
	}, {Code: "z", Severity: Warning, Message: "m"}})
	want := "my\uFFFD[31madapter: broken\n\n[broken] x-y\n  file    /a b/c\n" +
		"  what    " + strings.TrimSpace(strings.Repeat("word ", 15)) + "\n          " + strings.TrimSpace(strings.Repeat("word ", 15)) + "\n" +
		"  cause   because\n  cure    Do this:\n            cmd  with  spaces " + strings.Repeat("long ", 30) + "\n          Then that.\n" +
		"\n[warning] z\n  what    m\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// TestTextTellsOnce has two subjects with one fault, and one with another.
func TestTextTellsOnce(t *testing.T) {
	var b bytes.Buffer
	text := NewText(&b)
	f := Finding{Code: "c", Message: "of a", Cause: "because", Fix: "do"}
	text.Write("a", []Finding{f})
	f.Message = "of b"
	text.Write("b", []Finding{f})
	f.Fix = "do other"
	text.Write("c", []Finding{f})
	want := "a: broken\n\n[broken] c\n  what    of a\n  cause   because\n  cure    do\n" +
		"b: broken\n\n[broken] c\n  what    of b\n  cause   the same as of a, and the same cure\n" +
		"c: broken\n\n[broken] c\n  what    of b\n  cause   because\n  cure    do other\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// TestOlderRanks names a checkpoint that has what the newest lacks.
func TestOlderRanks(t *testing.T) {
	files := make(map[string]string)
	for _, step := range []int{2, 4, 6} {
		stored(t, files, fmt.Sprintf("checkpoint-%[1]d/global_step%[1]d", step), "stage2-world2-fp16/checkpoint-2/global_step2")
	}
	dir := dirOf(t, files)
	err := &checkpoint.RanksError{Dir: filepath.Join(dir, "checkpoint-4/global_step4"), Files: "optimizer states", Have: 1, Want: 2, By: "x"}
	checkFix(t, err, "checkpoint-ranks-missing", []string{"lorafs recover ", "checkpoint-2/global_step2 ", "/recovered-2"}, []string{"step6"})
	err.Dir = filepath.Join(dir, "checkpoint-2/global_step2")
	checkFix(t, err, "checkpoint-ranks-missing", nil, []string{"lorafs recover "})
}

// TestNothingToRecover tells an adapter from what is no checkpoint.
func TestNothingToRecover(t *testing.T) {
	dir := dirOf(t, map[string]string{"a/adapter_config.json": loraConfig, "a/adapter_model.safetensors": goodFile, "b/x": ""})
	checkFix(t, &checkpoint.NotFoundError{Path: filepath.Join(dir, "a")}, "checkpoint-not-found", []string{"It is an adapter", "lorafs check"}, nil)
	checkFix(t, &checkpoint.NotFoundError{Path: filepath.Join(dir, "b")}, "checkpoint-not-found", []string{"Name the directory"}, nil)
}

// TestTorchModelWithAdapter: what is no base in a format that is read may hold an adapter.
func TestTorchModelWithAdapter(t *testing.T) {
	dir := filepath.Join(realCheckpoints, "plain-sharded/checkpoint-2")
	_, err := modeldir.OpenBase(dir)
	checkFix(t, err, "base-other-format", []string{"lorafs recover --alpha ALPHA ", "plain-sharded/checkpoint-2 "}, nil)
}

// TestStateOfAccelerate: a directory of save_state holds no adapter, and what to make one of.
func TestStateOfAccelerate(t *testing.T) {
	dir := filepath.Join(dirOf(t, map[string]string{"state/latest": "pytorch_model"}), "state")
	if err := os.CopyFS(filepath.Join(dir, "pytorch_model"), os.DirFS("../checkpoint/testdata/stage2-world2-fp16/checkpoint-2/global_step2")); err != nil {
		t.Fatal(err)
	}
	_, err := modeldir.FindAdapters([]string{dir})
	checkFix(t, err, "checkpoint-no-adapter", []string{"lorafs recover --alpha ALPHA " + dir + " "}, nil)
}

func TestWriteJSON(t *testing.T) {
	var b bytes.Buffer
	results := []Result{{Path: "p", Kind: "adapter", Verdict: Judge(nil)}, {Path: "q", Kind: "adapter", Verdict: VerdictWarn,
		Findings: []Finding{{Code: "c", Severity: Warning, Message: "<m>"}}}}
	if err := WriteJSON(&b, results); err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, b.Bytes()); err != nil {
		t.Fatal(err)
	}
	want := `{"results":[{"path":"p","kind":"adapter","verdict":"ok","findings":[]},` +
		`{"path":"q","kind":"adapter","verdict":"warn","findings":[{"code":"c","severity":"warning","file":"","tensor":"","message":"<m>","cause":"","fix":""}]}]}`
	if compact.String() != want {
		t.Errorf("got  %s\nwant %s", compact.String(), want)
	}
}

func TestJudge(t *testing.T) {
	warning, broken := Finding{Severity: Warning}, Finding{}
	for _, c := range []struct {
		findings []Finding
		want     Verdict
	}{{nil, VerdictOK}, {[]Finding{warning}, VerdictWarn}, {[]Finding{warning, broken}, VerdictBroken}} {
		if got := Judge(c.findings); got != c.want {
			t.Errorf("%v: %s, want %s", c.findings, got, c.want)
		}
	}
}

func TestCommandsAreQuoted(t *testing.T) {
	f := finding("weights-lfs-pointer", "/a b/it's/x", "", "m", nil)
	if want := `git -C '/a b/it'\''s' lfs pull`; !strings.Contains(f.Fix, want) {
		t.Errorf("%s\nlacks %s", f.Fix, want)
	}
	for word, want := range map[string]string{"/a/b-c_d.e": "/a/b-c_d.e", "": "''", "-rf": "'-rf'", "$x": "'$x'"} {
		if got := Quote(word); got != want {
			t.Errorf("%q: %s", word, got)
		}
	}
}

// TestReadHeadOpensFilesOnly checks that explaining never waits for a FIFO.
func TestReadHeadOpensFilesOnly(t *testing.T) {
	for _, path := range []string{t.TempDir(), os.DevNull, "/nowhere"} {
		if _, ok := readHead(path); ok {
			t.Errorf("read %s", path)
		}
	}
}

// checkFix wants one finding of a code, whose cure says some things and not others.
func checkFix(t *testing.T, err error, code string, want, not []string) {
	t.Helper()
	found := Explain(err)
	if len(found) != 1 || found[0].Code != code {
		t.Fatalf("%+v", found)
	}
	for _, s := range want {
		if !strings.Contains(found[0].Fix, s) {
			t.Errorf("lacks %q: %s", s, found[0].Fix)
		}
	}
	for _, s := range not {
		if strings.Contains(found[0].Fix, s) {
			t.Errorf("says %q: %s", s, found[0].Fix)
		}
	}
}

// TestPartOfPipeline checks that the pipeline is named that a component is a part of.
func TestPartOfPipeline(t *testing.T) {
	dir := dirOf(t, map[string]string{"pipe/model_index.json": "{}", "pipe/unet/x": "", "alone/unet/x": ""})
	for base, want := range map[string]bool{"pipe/unet": true, "alone/unet": false} {
		found := Explain(&lazymerge.UnmatchedError{Base: filepath.Join(dir, base), Tensors: []lazymerge.Unmatched{{Keys: []string{"k"}, Part: "te", Lacks: true}}})
		if len(found) != 1 || found[0].Code != "component-missing" || strings.Contains(found[0].Fix, "The base is a part of the pipeline "+filepath.Join(dir, "pipe")+":") != want {
			t.Errorf("%s: %+v", base, found)
		}
	}
	mixed := []lazymerge.Unmatched{{Keys: []string{"k"}, Part: "te", Lacks: true}, {Keys: []string{"l"}}}
	if found := Explain(&lazymerge.UnmatchedError{Tensors: mixed}); found[0].Code != "tensor-unmatched" || !strings.Contains(found[0].Message, "k (the base has no component for te)") {
		t.Errorf("mixed: %+v", found)
	}
}

// TestBaseHint checks that the base which an adapter's header names is said wherever the
// base may be another one.
func TestBaseHint(t *testing.T) {
	const tensor = `"lora_unet_x.lora_up.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`
	dir := dirOf(t, map[string]string{
		"named.safetensors":  raw(`{"__metadata__":{"ss_base_model_version":"sdxl_base_v1-0"},`+tensor+`}`, "1234"),
		"long.safetensors":   raw(`{"__metadata__":{"ss_base_model_version":"`+strings.Repeat("x", 9000)+`"},`+tensor+`}`, "1234"),
		"silent.safetensors": raw(`{`+tensor+`}`, "1234"),
	})
	for name, want := range map[string]string{"named": "The file's header names sdxl_base_v1-0 as the base", "long": "header names xxx", "silent": ""} {
		path := filepath.Join(dir, name+".safetensors")
		for _, err := range []error{
			&lazymerge.UnmatchedError{Adapter: path, Tensors: []lazymerge.Unmatched{{Keys: []string{"k"}}}},
			&lazymerge.EditError{Adapter: path, Err: &transform.ShapeError{Tensor: "t"}},
		} {
			f := Explain(err)[0]
			if !strings.Contains(f.Fix, want) || strings.Contains(f.Fix, "The file's header") != (want != "") || len(f.Fix) > 2000 {
				t.Errorf("%s: %s", name, f.Fix)
			}
		}
	}
}
