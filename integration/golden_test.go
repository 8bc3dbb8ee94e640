package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"lorafs/safetensors"
)

// goldensVariable names further golden directories, as PATH does.
const goldensVariable = "LORAFS_GOLDENS"

// golden is a case as integration/peft/goldens.py describes it.
type golden struct {
	Base      string            `json:"base"`
	Expect    string            `json:"expect"`
	Rounding  string            `json:"rounding"`
	Unchanged []string          `json:"unchanged"`
	Moved     map[string]string `json:"moved"`
	Optional  []string          `json:"optional"`
	Prefix    string            `json:"prefix"`
	Config    map[string]any    `json:"config"`
	Refusal   []string          `json:"refusal"`
	Stack     []string          `json:"stack"`
	Flags     []string          `json:"flags"`
	// Approximate is the error allowed in 16-bit tensors, relative to the largest
	// magnitude, where PEFT's own merge depends on the last bits of a decomposition.
	Approximate float64 `json:"approximate"`
	Notes       string  `json:"notes"`

	name string
	dir  string
	base string
}

// adapter is the ADAPTER of the case.
func (g *golden) adapter() string {
	if g.Stack == nil {
		return filepath.Join(g.dir, "adapter")
	}
	var parts []string
	for _, part := range g.Stack {
		parts = append(parts, filepath.Join(g.dir, part))
	}
	return strings.Join(parts, "+")
}

// flags are those of the command.
func (g *golden) flags() []string {
	if g.Stack == nil {
		return []string{"--rounding", g.Rounding}
	}
	return g.Flags
}

// tally counts compared elements and those that are off, by dtype.
type tally [safetensors.U64 + 1]struct{ off, elements atomic.Int64 }

func (y *tally) add(d safetensors.DType, off, elements int64) {
	y[d].off.Add(off)
	y[d].elements.Add(elements)
}

func TestGoldens(t *testing.T) {
	roots := []string{"testdata/goldens"}
	roots = append(roots, filepath.SplitList(os.Getenv(goldensVariable))...)
	for _, root := range roots {
		t.Run(filepath.Base(root), func(t *testing.T) {
			goldens := readGoldens(t, root)
			var total tally
			t.Run("cases", func(t *testing.T) {
				for _, g := range goldens {
					t.Run(g.name, func(t *testing.T) {
						t.Parallel()
						g.test(t, &total)
					})
				}
			})
			total.check(t)
		})
	}
}

func (y *tally) check(t *testing.T) {
	for d := range share {
		off, elements := y[d].off.Load(), y[d].elements.Load()
		t.Logf("%s: %d of %d changed elements are off by a unit in the last place", d, off, elements)
		if float64(off) > spare+share[d]*float64(elements) {
			t.Errorf("%s: more than %g of all elements are off", d, share[d])
		}
	}
}

func readGoldens(t *testing.T, root string) []*golden {
	t.Helper()
	var goldens []*golden
	err := filepath.WalkDir(filepath.Join(root, "cases"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Name() != "case.json" {
			return err
		}
		g, err := readGolden(root, filepath.Dir(path))
		goldens = append(goldens, g)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(goldens) == 0 {
		t.Fatalf("no golden case under %s", root)
	}
	return goldens
}

func readGolden(root, dir string) (*golden, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "case.json"))
	if err != nil {
		return nil, err
	}
	g := &golden{name: filepath.Base(dir), dir: dir}
	if err := json.Unmarshal(raw, g); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	g.base = filepath.Join(root, "bases", g.Base)
	return g, nil
}

func (g *golden) test(t *testing.T, total *tally) {
	if g.Notes != "" {
		t.Log(g.Notes)
	}
	switch g.Expect {
	case "peft", "forward":
		g.testMerge(t, total)
	case "refuse":
		g.testRefusal(t)
	default:
		t.Fatalf("unknown expectation %q", g.Expect)
	}
}

func (g *golden) testRefusal(t *testing.T) {
	needFUSE(t)
	dir := t.TempDir()
	_, stderr, err := lorafs(t, "mount", g.base, g.adapter(), dir)
	if code := exitCode(err); code != 1 {
		t.Errorf("status %d, want 1: %v", code, err)
	}
	if isMounted(t, dir) {
		t.Error("refused, yet mounted")
		unmount(t, dir)
	}
	for _, word := range g.Refusal {
		if !strings.Contains(stderr, word) {
			t.Errorf("the message does not name %q:\n%s", word, stderr)
		}
	}
}

func (g *golden) testMerge(t *testing.T, total *tally) {
	dir := mounted(t, append(g.flags(), g.base, g.adapter())...)
	g.checkWeights(t, dir, total)
	g.checkConfig(t, dir)
	g.checkFiles(t, dir)
}

func (g *golden) checkWeights(t *testing.T, dir string, total *tally) {
	got, base := readModel(t, dir), readModel(t, g.base)
	for name, want := range g.expected(t, base) {
		served, ok := g.spelling(name, got)
		if !ok {
			t.Errorf("tensor %s is missing", name)
			continue
		}
		g.compare(t, name, got[served], want, base, total)
		delete(got, served)
	}
	for name := range got {
		if _, ok := g.spelling(name, set(g.Optional)); !ok {
			t.Errorf("tensor %s does not belong here", name)
		}
	}
	if g.Expect == "peft" { // replicated layers force another order
		checkOrder(t, g.base, dir)
	}
}

// spelling returns the name in names that means name, which may have or lack
// the prefix of its architecture.
func (g *golden) spelling(name string, names map[string]*safetensors.Tensor) (string, bool) {
	candidates := []string{name}
	if g.Prefix != "" {
		candidates = append(candidates, g.Prefix+"."+name, strings.TrimPrefix(name, g.Prefix+"."))
	}
	for _, candidate := range candidates {
		if _, ok := names[candidate]; ok {
			return candidate, true
		}
	}
	return "", false
}

func set(names []string) map[string]*safetensors.Tensor {
	m := make(map[string]*safetensors.Tensor)
	for _, name := range names {
		m[name] = nil
	}
	return m
}

// expected returns the merged model, which the golden stores as its difference
// from the base.
func (g *golden) expected(t *testing.T, base map[string]*safetensors.Tensor) map[string]*safetensors.Tensor {
	t.Helper()
	want := make(map[string]*safetensors.Tensor)
	for _, tensor := range openWeights(t, filepath.Join(g.dir, "merged.safetensors")).Tensors() {
		want[tensor.Name] = tensor
	}
	origins := maps.Clone(g.Moved)
	if origins == nil {
		origins = make(map[string]string)
	}
	for _, name := range g.Unchanged {
		origins[name] = name
	}
	for name, origin := range origins {
		if base[origin] == nil {
			t.Fatalf("the golden takes %s from %s, which the base lacks", name, origin)
		}
		want[name] = base[origin]
	}
	return want
}

func (g *golden) compare(t *testing.T, name string, served, want *safetensors.Tensor, base map[string]*safetensors.Tensor, total *tally) {
	t.Helper()
	got, err := readValues(served)
	if err != nil {
		t.Fatal(err)
	}
	wanted, err := readValues(want)
	if err != nil {
		t.Fatal(err)
	}
	off, problem := difference(got, wanted, g.merging(t, name, base))
	if problem != nil {
		t.Errorf("tensor %s: %v", name, problem)
		return
	}
	if base[want.Name] == want {
		if off > 0 {
			t.Errorf("tensor %s is the base's, but %d elements differ", name, off)
		}
		return
	}
	if g.Approximate > 0 {
		t.Logf("tensor %s: %d elements are off within %g of the largest magnitude", name, off, g.Approximate)
		return
	}
	n, err := want.Elements()
	if err != nil {
		t.Fatal(err)
	}
	total.add(want.DType, int64(off), n)
}

func (g *golden) merging(t *testing.T, name string, base map[string]*safetensors.Tensor) merging {
	m := merging{
		base:        g.unmerged(t, name, base),
		twice:       g.Rounding == "twice" || deltaRounded.MatchString(name),
		approximate: g.Approximate,
	}
	for _, peftType := range g.peftTypes(t) {
		m.twice = m.twice || slices.Contains(roundingTypes, peftType)
		m.noise = m.noise.or(noisyTypes[peftType])
	}
	return m
}

// roundingTypes round deltas, or what they multiply, without safe_merge, too.
var roundingTypes = []string{"C3A", "DEFT", "DELORA", "FROD", "GLORA", "HIRA", "PEANUT", "RANDLORA", "ROAD", "SUPERTUNING"}

// noisyTypes are those whose values PEFT makes by a Fourier transform in fp32, or by
// solving equations in fp32 (BOFT): of its own FOURIERFT sums 1.1e-4 in bf16 and 5.7e-4
// in f16 are not the exact ones rounded, of its BOFT weights 7 of 16,020 in bf16. A few
// cosines of few angles, which is FOURIERFT on a small layer, often add up to a number
// halfway between two of bf16, at places symmetric to each other at once: PEFT's noise
// decided some 120 of 130,000 elements, up to 3 of the 200 of a layer.
var noisyTypes = map[string]noise{
	"BOFT":      {share: 5},
	"C3A":       {share: 2},
	"FOURIERFT": {share: 2, spare: 8},
}

// peftTypes are the types of the adapters.
func (g *golden) peftTypes(t *testing.T) []string {
	t.Helper()
	parts := g.Stack
	if parts == nil {
		parts = []string{"adapter"}
	}
	var types []string
	for _, part := range parts {
		dir, _, _ := strings.Cut(part, "@")
		raw, err := os.ReadFile(filepath.Join(g.dir, dir, "adapter_config.json"))
		var config struct {
			Type string `json:"peft_type"`
		}
		if err := errors.Join(err, json.Unmarshal(raw, &config)); err != nil {
			t.Fatal(err)
		}
		types = append(types, config.Type)
	}
	return types
}

// deltaRounded matches embeddings and the packed projection of torch's
// MultiheadAttention, whose deltas PEFT casts to the base's dtype.
var deltaRounded = regexp.MustCompile(`emb|shared|wte|wpe|in_proj_weight|out_proj`)

// unmerged returns the floats of the base tensor that name was merged from, nil
// when there is none.
func (g *golden) unmerged(t *testing.T, name string, base map[string]*safetensors.Tensor) []float32 {
	t.Helper()
	origin, ok := g.spelling(name, base)
	if !ok {
		return nil
	}
	v, err := readValues(base[origin])
	if err != nil {
		t.Fatal(err)
	}
	floats, err := v.floats()
	if err != nil {
		return nil // not a float tensor
	}
	return floats
}

func (g *golden) checkConfig(t *testing.T, dir string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Error(err)
		return
	}
	var config map[string]any
	if err := json.Unmarshal(raw, &config); err != nil {
		t.Errorf("config.json: %v", err)
		return
	}
	for path, want := range g.Config {
		if got := field(config, path); !reflect.DeepEqual(got, want) {
			t.Errorf("config.json: %s is %v, want %v", path, got, want)
		}
	}
}

// field returns the value at a dotted path, nil when there is none.
func field(config map[string]any, path string) any {
	above, last, nested := strings.Cut(path, ".")
	if !nested {
		return config[path]
	}
	inner, _ := config[above].(map[string]any)
	return field(inner, last)
}

// checkFiles checks what else is in the tree: nothing of the adapter that a
// reader would apply again, the base's other files, a report.
func (g *golden) checkFiles(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(entry.Name(), "adapter_") {
			t.Errorf("%s is in the tree", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	for _, name := range []string{"generation_config.json"} {
		want, err := os.ReadFile(filepath.Join(g.base, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		got, err2 := os.ReadFile(filepath.Join(dir, name))
		if err := errors.Join(err, err2); err != nil || string(got) != string(want) {
			t.Errorf("%s differs from the base's: %v", name, err)
		}
	}
	report, err := os.ReadFile(filepath.Join(dir, ".lorafs/report.json"))
	if err != nil || !json.Valid(report) {
		t.Errorf("report.json: %v\n%s", err, report)
	}
}

// checkOrder checks that tensors which keep their name keep their order.
func checkOrder(t *testing.T, base, dir string) {
	t.Helper()
	for _, path := range weightFiles(t, base) {
		served := filepath.Join(dir, filepath.Base(path))
		if _, err := os.Stat(served); err != nil {
			t.Errorf("a shard of the base is missing: %v", err)
			continue
		}
		old, got := names(openWeights(t, path)), names(openWeights(t, served))
		common := func(a, b []string) []string {
			return slices.DeleteFunc(slices.Clone(a), func(name string) bool { return !slices.Contains(b, name) })
		}
		if !slices.Equal(common(old, got), common(got, old)) {
			t.Errorf("%s: tensors are not in the order of the base", filepath.Base(path))
		}
	}
}

func names(f *safetensors.File) []string {
	var list []string
	for _, tensor := range f.Tensors() {
		list = append(list, tensor.Name)
	}
	return list
}
