package lazymerge

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"lorafs/lazymerge/resolve"
	"lorafs/safetensors"
)

// converted is a parameter as transformers makes it (resolve/gen/storage.py).
type converted struct {
	Key   string
	Ops   []string
	Disk  []diskTensor // in the order of their elements' numbers
	Name  string
	Shape []int64
	IDs   []int64
}

type diskTensor struct {
	name  string
	shape []int64
}

func (d *diskTensor) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&d.name, &d.shape})
}

func (d diskTensor) elements() int64 {
	n := int64(1)
	for _, s := range d.shape {
		n *= s
	}
	return n
}

func readConverted(t *testing.T) []converted {
	t.Helper()
	f, err := os.Open("testdata/storage.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all []converted
	for s := bufio.NewScanner(z); s.Scan(); {
		var c converted
		if err := json.Unmarshal(s.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// planner is one of a base that has the disk's tensors and nothing else.
func (c converted) planner() *planner {
	p := &planner{byName: make(map[string]*output)}
	var names []string
	for _, d := range c.Disk {
		names = append(names, d.name)
		p.byName[d.name] = &output{info: safetensors.Info{Name: d.name, Shape: d.shape}}
	}
	p.names = resolve.New(resolve.Base{Names: names, ModelType: c.Key, Architectures: []string{c.Key}})
	return p
}

// firsts are the numbers of the tensors' first elements.
func (c converted) firsts() map[string]int64 {
	first, next := make(map[string]int64), int64(0)
	for _, d := range c.Disk {
		first[d.name], next = next, next+d.elements()
	}
	return first
}

func TestStoredAsTransformersConverts(t *testing.T) {
	all := readConverted(t)
	if len(all) < 90 {
		t.Fatalf("%d parameters", len(all))
	}
	for _, c := range all {
		dot := strings.LastIndexByte(c.Name, '.')
		p := c.planner()
		m, from, err := p.names.Parameter(c.Name[:dot], c.Name[dot+1:])
		if err != nil && !errors.As(err, &from) || from == nil {
			t.Errorf("%s: %s %v: %+v, %v", c.Key, c.Name, c.Ops, m, err)
			continue
		}
		size := int64(0)
		if len(c.Shape) > 0 {
			size = c.Shape[0]
		}
		st, err := p.stored(m, from, size)
		if c.IDs == nil {
			if err == nil {
				t.Errorf("%s: %s %v: got %+v, want an error", c.Key, c.Name, c.Ops, st)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %s: %v", c.Key, c.Name, err)
			continue
		}
		c.check(t, st)
	}
}

// check holds the elements' places against the script's.
func (c converted) check(t *testing.T, st stored) {
	t.Helper()
	shape := []int64{st.rows, st.cols}
	if st.experts > 0 {
		shape = append([]int64{st.experts}, shape...)
	}
	if !slices.Equal(shape, c.Shape) {
		t.Errorf("%s: %s: shape %v, want %v", c.Key, c.Name, shape, c.Shape)
		return
	}
	first, shapes := c.firsts(), make(map[string][]int64)
	for _, d := range c.Disk {
		shapes[d.name] = d.shape
	}
	seen := make([]bool, len(c.IDs))
	for _, m := range st.matrices {
		disk := shapes[m.tensor]
		rows, cols := disk[len(disk)-2], disk[len(disk)-1]
		for n := range m.run.Count {
			for j := range st.cols {
				at := (m.expert*st.rows+m.run.First+n)*st.cols + j
				r, k := m.run.At+n*m.run.Stride, j
				if m.transposed {
					r, k = k, r
				}
				id := first[m.tensor] + (max(m.plane-1, 0)*rows+r)*cols + k
				if seen[at] || c.IDs[at] != id {
					t.Errorf("%s: %s: element %d is number %d of the disk, want %d", c.Key, c.Name, at, id, c.IDs[at])
					return
				}
				seen[at] = true
			}
		}
	}
	if slices.Contains(seen, false) {
		t.Errorf("%s: %s: elements are left out", c.Key, c.Name)
	}
}
