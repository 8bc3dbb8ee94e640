package checkpoint_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lorafs/lazymerge/checkpoint"
)

// readAll opens a checkpoint and reads what was trained, in full.
func readAll(dir string, v checkpoint.Values) (values map[string][]byte, err error) {
	c, err := checkpoint.Open(dir, v)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	values = make(map[string][]byte)
	for _, t := range c.Tensors {
		if err := t.Verify(context.Background()); err != nil {
			return nil, err
		}
		b := make([]byte, t.Bytes())
		if err := t.ReadAt(b, 0); err != nil {
			return nil, err
		}
		values[t.Name] = b
	}
	return values, c.Unchanged()
}

func sameValues(a, b map[string][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || !bytes.Equal(v, w) {
			return false
		}
	}
	return true
}

// damaged runs a fault on a copy: it must be refused, or the values must be right.
func damaged(t *testing.T, name, what string, must bool, fault func(dir string, file string)) {
	t.Helper()
	truth, err := readAll(filepath.Join("testdata", name, "checkpoint-2"), checkpoint.Masters)
	if err != nil {
		t.Fatal(err)
	}
	for i := range filesOf(t, filepath.Join("testdata", name, "checkpoint-2")) {
		dir := copyCase(t, name)
		file := filesOf(t, dir)[i]
		fault(dir, file)
		got, err := readAll(dir, checkpoint.Masters)
		base := filepath.Base(file)
		switch {
		case err == nil && !sameValues(got, truth):
			t.Errorf("%s of %s gives other values", what, base)
		case err == nil && must && !strings.HasPrefix(base, "latest"):
			t.Errorf("%s of %s is not noticed", what, base)
		case err != nil && !strings.Contains(err.Error(), strings.TrimSuffix(base, filepath.Ext(base))) && !strings.Contains(err.Error(), filepath.Base(filepath.Dir(file))):
			t.Errorf("%s of %s: the error names neither it nor its directory: %v", what, base, err)
		}
	}
}

// faulty are cases of every layout.
var faulty = []string{"stage1-world2-bf16", "stage2-world2-fp16", "stage2-world3-bf16-groups", "stage3-world2-bf16", "stage3-world3-fp16-tokens", "fsdp1-sharded", "fsdp2-sharded", "fsdp1-full", "plain-sharded"}

func TestMissingFiles(t *testing.T) {
	for _, name := range faulty {
		t.Run(name, func(t *testing.T) {
			damaged(t, name, "the loss", true, func(_, file string) {
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

func TestTruncatedFiles(t *testing.T) {
	for _, name := range faulty {
		for _, keep := range []float64{0, 0.3, 0.6, 0.9, 0.999} {
			damaged(t, name, "truncation", true, func(_, file string) {
				st, err := os.Stat(file)
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(filepath.Base(file), "latest") {
					return
				}
				if err := os.Truncate(file, int64(keep*float64(st.Size()))); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// TestFlippedBits changes a bit at random places, the same in each run, and fills a page
// with zeros, as broken copies do: only what is refused or right may come of it.
func TestFlippedBits(t *testing.T) {
	for _, name := range []string{"stage1-world2-bf16", "stage2-world3-bf16-groups", "stage3-world2-bf16", "fsdp1-full", "fsdp2-sharded"} {
		truth, err := readAll(filepath.Join("testdata", name, "checkpoint-2"), checkpoint.Masters)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewSource(2))
		for i := range 100 {
			dir := copyCase(t, name)
			files := filesOf(t, dir)
			file := files[r.Intn(len(files))]
			if filepath.Base(file) == ".metadata" { // it has no checksum
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			at := r.Intn(len(text))
			text[at] ^= 1 << r.Intn(8)
			if i%4 == 0 {
				clear(text[at:min(len(text), at+4096)])
			}
			if err := os.WriteFile(file, text, 0o644); err != nil {
				t.Fatal(err)
			}
			got, err := readAll(dir, checkpoint.Masters)
			if err == nil && !sameValues(got, truth) {
				t.Errorf("%s: a fault at byte %d of %s gives other values", name, at, filepath.Base(file))
			}
		}
	}
}

// TestFlippedCounts changes shapes and counts in the descriptions, as a writer with an
// error would, so that no checksum tells.
func TestFlippedCounts(t *testing.T) {
	for _, name := range []string{"stage2-world3-bf16-groups", "stage3-world2-bf16"} {
		truth, err := readAll(filepath.Join("testdata", name, "checkpoint-2"), checkpoint.Masters)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewSource(1))
		for range 60 {
			dir := copyCase(t, name)
			files := filesOf(t, dir)
			file := files[r.Intn(len(files))]
			if !strings.HasSuffix(file, ".pt") {
				continue
			}
			flipShape(t, file, r)
			got, err := readAll(dir, checkpoint.Masters)
			if err == nil && !sameValues(got, truth) {
				t.Errorf("%s: another shape or count in %s gives other values", name, filepath.Base(file))
			}
		}
	}
}

// flipShape changes a small number in the pickle (BININT1, in shapes and counts).
func flipShape(t *testing.T, file string, r *rand.Rand) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var at []int
	for i := 0; i+3 < len(text); i++ {
		if text[i] == 'K' && text[i+2] == 'K' || text[i] == 'K' && (text[i+2] == '\x86' || text[i+2] == '\x85') {
			at = append(at, i+1)
		}
	}
	if len(at) == 0 {
		return
	}
	text[at[r.Intn(len(at))]] += byte(1 + r.Intn(3))
	dropSums(text)
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// dropSums takes the checksums out of a zip file's directory.
func dropSums(text []byte) {
	for at := bytes.Index(text, []byte("PK\x01\x02")); at >= 0; {
		clear(text[at+16 : at+20])
		next := bytes.Index(text[at+20:], []byte("PK\x01\x02"))
		if next < 0 {
			return
		}
		at += 20 + next
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// TestSwappedRanks gives two ranks each other's files, and a copy of one to the other.
func TestSwappedRanks(t *testing.T) {
	for _, name := range []string{
		"stage1-world2-bf16", "stage1-world3-fp32", "stage2-world3-round-robin", "stage2-world2-aligned",
		"stage3-world2-bf16", "stage3-world3-bf16-saved", "stage3-world3-fp16-tokens", "stage3-world2-fp32-subgroups",
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyCase(t, name)
			var optims []string
			for _, f := range filesOf(t, dir) {
				if strings.Contains(f, "_optim_states.pt") {
					optims = append(optims, f)
				}
			}
			rename(t, optims[0], optims[0]+".tmp")
			rename(t, optims[1], optims[0])
			rename(t, optims[0]+".tmp", optims[1])
			wantMixed(t, dir)
			text, err := os.ReadFile(optims[0])
			if err == nil {
				err = os.WriteFile(optims[1], text, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			wantMixed(t, dir)
		})
	}
}

// TestCopiedRank has one rank's file under two names, of a format without names.
func TestCopiedRank(t *testing.T) {
	dir := copyCase(t, "stage3-world11")
	name := filepath.Join(dir, "global_step2/bf16_zero_pp_rank_%_mp_rank_00_optim_states.pt")
	text, err := os.ReadFile(strings.Replace(name, "%", "3", 1))
	if err == nil {
		err = os.WriteFile(strings.Replace(name, "%", "10", 1), text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	wantMixed(t, dir)
}

func wantMixed(t *testing.T, dir string) {
	t.Helper()
	_, err := checkpoint.Open(dir, checkpoint.Masters)
	var mixed *checkpoint.MixedError
	if !errors.As(err, &mixed) {
		t.Errorf("%v", err)
	}
}

// TestCopiedFile has one rank's file of a distributed checkpoint under two names.
func TestCopiedFile(t *testing.T) {
	for _, name := range []string{"fsdp1-sharded", "fsdp2-sharded"} {
		dir := copyCase(t, name)
		var files []string
		for _, f := range filesOf(t, dir) {
			if strings.HasSuffix(f, ".distcp") {
				files = append(files, f)
			}
		}
		text, err := os.ReadFile(files[0])
		if err == nil {
			err = os.WriteFile(files[1], text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = readAll(dir, checkpoint.Masters)
		if err == nil || !strings.Contains(err.Error(), filepath.Base(files[1])) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMixedRuns puts files of one checkpoint into another.
func TestMixedRuns(t *testing.T) {
	for _, c := range []struct{ into, from, file string }{
		{"stage2-world2-aligned", "stage1-world2-bf16", "bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt"},
		{"stage1-world2-bf16", "stage2-world2-tied", "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt"},
		{"stage3-world2-bf16", "stage3-world3-bf16-saved", "bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt"},
		{"stage3-world2-bf16", "stage3-world3-bf16-saved", "zero_pp_rank_1_mp_rank_00_model_states.pt"},
		{"stage3-world3-bf16-saved", "stage3-world2-bf16", "zero_pp_rank_0_mp_rank_00_model_states.pt"},
		{"stage3-world2-bf16", "stage2-world2-tied", "mp_rank_00_model_states.pt"},
		{"stage2-world3-bf16-groups", "stage2-world3-round-robin", "bf16_zero_pp_rank_2_mp_rank_00_optim_states.pt"},
		{"stage2-world3-bf16-groups", "stage2-world3-round-robin", "mp_rank_00_model_states.pt"},
	} {
		dir := copyCase(t, c.into)
		text, err := os.ReadFile(filepath.Join("testdata", c.from, "checkpoint-2/global_step2", c.file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "global_step2", c.file), text, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := readAll(dir, checkpoint.Masters); err == nil {
			t.Errorf("%s of %s in %s is not noticed", c.file, c.from, c.into)
		}
	}
}

// TestMoreRanks has the files of a larger run beside those of a smaller one.
func TestMoreRanks(t *testing.T) {
	dir := copyCase(t, "stage3-world2-bf16")
	for _, kind := range []string{"bf16_zero_pp_rank_%_mp_rank_00_optim_states.pt", "zero_pp_rank_%_mp_rank_00_model_states.pt"} {
		text, err := os.ReadFile(filepath.Join(dir, "global_step2", strings.Replace(kind, "%", "1", 1)))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "global_step2", strings.Replace(kind, "%", "2", 1)), text, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err = checkpoint.Open(dir, checkpoint.Masters)
		if !errors.As(err, new(*checkpoint.RanksError)) && !errors.As(err, new(*checkpoint.MixedError)) {
			t.Errorf("%v", err)
		}
	}
}

func TestRefusedNames(t *testing.T) {
	for name, want := range map[string]string{
		"zero_pp_rank_0_mp_rank_01_optim_states.pt":              "tensor parallel",
		"mp_rank_01_model_states.pt":                             "tensor parallel",
		"layer_01-model_00-model_states.pt":                      "files of their own",
		"layer_0_expert_3_mp_rank_00_model_states.pt":            "files of their own",
		"bf16_zero_pp_rank_999999999_mp_rank_00_optim_states.pt": "no such number",
	} {
		dir := copyCase(t, "stage2-world2-fp16")
		if err := os.WriteFile(filepath.Join(dir, "global_step2", name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := checkpoint.Open(dir, checkpoint.Masters)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLatest(t *testing.T) {
	for _, tag := range []string{"", "global_step3", "../checkpoint-2/global_step2", "/etc", ".", strings.Repeat("x", 5000), strings.Repeat("x", 300), "a\x00b", "global_step2\x00\x00", "global_step2\x1b[31m"} {
		dir := copyCase(t, "stage2-world2-fp16")
		if err := os.WriteFile(filepath.Join(dir, "latest"), []byte(tag), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := checkpoint.Open(dir, checkpoint.Masters)
		if !errors.As(err, new(*checkpoint.LatestError)) && len(tag) < 4096 {
			t.Errorf("latest %.20q: %v", tag, err)
		}
		if err == nil || !strings.Contains(err.Error(), "latest") {
			t.Errorf("latest %.20q: %v", tag, err)
		}
	}
	dir := copyCase(t, "stage2-world2-fp16")
	if err := os.WriteFile(filepath.Join(dir, "latest"), []byte("global_step2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(dir, checkpoint.Masters); err != nil {
		t.Error(err)
	}
}

// TestOtherFiles: what holds no parameters is no damaged checkpoint.
func TestOtherFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trainer_state.json")
	if err := os.WriteFile(path, []byte(`{"global_step": 2}`), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := checkpoint.Open(path, checkpoint.Masters)
	if !errors.As(err, new(*checkpoint.NotFoundError)) {
		t.Error(err)
	}
	bin := strings.TrimSuffix(path, ".json") + ".bin"
	if err := os.Rename(path, bin); err != nil {
		t.Fatal(err)
	}
	_, err = checkpoint.Open(bin, checkpoint.Masters)
	if !errors.As(err, new(*checkpoint.ReadError)) {
		t.Error(err)
	}
}

// TestPlaces opens checkpoints by every path that leads to them.
func TestPlaces(t *testing.T) {
	for name, paths := range map[string][]string{
		"stage2-world2-fp16": {"", "global_step2", "latest", "global_step2/mp_rank_00_model_states.pt", "global_step2/zero_pp_rank_1_mp_rank_00_optim_states.pt", ".."},
		"fsdp2-sharded":      {"", "pytorch_model_fsdp_0", "pytorch_model_fsdp_0/.metadata", "pytorch_model_fsdp_0/__0_0.distcp", ".."},
		"plain-sharded":      {"", "pytorch_model.bin.index.json", ".."},
	} {
		dir := copyCase(t, name)
		truth, err := readAll(dir, checkpoint.Masters)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			got, err := readAll(filepath.Join(dir, p), checkpoint.Masters)
			if err != nil || !sameValues(got, truth) {
				t.Errorf("%s/%s: %v", name, p, err)
			}
		}
	}
	for _, path := range []string{t.TempDir(), "testdata", filepath.Join(t.TempDir(), "nowhere")} {
		if _, err := checkpoint.Open(path, checkpoint.Masters); err == nil {
			t.Errorf("%s is opened", path)
		}
	}
}

// TestOwnNames opens a step whose directory somebody has renamed.
func TestOwnNames(t *testing.T) {
	for name, step := range map[string]string{
		"stage2-world2-fp16": "global_step2", "fsdp2-sharded": "pytorch_model_fsdp_0", "universal-stage3": "global_step2_universal",
	} {
		dir := copyCase(t, name)
		truth, err := readAll(dir, checkpoint.Masters)
		if err != nil {
			t.Fatal(err)
		}
		removeMatching(t, dir, "latest")
		rename(t, filepath.Join(dir, step), filepath.Join(dir, "best"))
		if err := os.WriteFile(filepath.Join(dir, "adapter_model.safetensors"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{dir, filepath.Join(dir, "adapter_model.safetensors")} {
			if got, err := readAll(path, checkpoint.Masters); err != nil || !sameValues(got, truth) {
				t.Errorf("%s: %v", path, err)
			}
		}
		if err := os.CopyFS(filepath.Join(dir, "other"), os.DirFS(filepath.Join(dir, "best"))); err != nil {
			t.Fatal(err)
		}
		if _, err := checkpoint.Open(dir, checkpoint.Masters); !errors.As(err, new(*checkpoint.NotFoundError)) {
			t.Errorf("%s with two: %v", name, err)
		}
	}
}

// TestPeek gives up, whatever the kind of the descriptions.
func TestPeek(t *testing.T) {
	for _, name := range []string{"stage1-world2-bf16", "stage3-world2-bf16", "fsdp1-sharded", "fsdp1-full"} {
		dir := copyCase(t, name)
		if _, err := checkpoint.Peek(dir, checkpoint.Masters, 1<<20); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := checkpoint.Peek(dir, checkpoint.Masters, 100); !errors.Is(err, checkpoint.ErrLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
