package lazymerge

import (
	"fmt"
	"regexp"
	"strconv"
)

// layerName splits "model.layers.7.mlp.up_proj.weight" at its layer number. The
// containers are those PEFT's layer replication knows (model.layers,
// encoder.layer, transformer.h).
var layerName = regexp.MustCompile(`^((?:.*?\.)?(?:layers|layer|h))\.(\d+)(\..+)$`)

type replicated struct {
	slots  []slot
	layers layerMap
}

// layerMap says for each layer of the merged model which base layer it copies.
type layerMap []int

// replicate repeats the layers of a decoder: the merged model's layers are the
// base's [start,end) ranges one after another.
func replicate(slots []slot, ranges [][2]int) (replicated, error) {
	container, count := "", 0
	for _, s := range slots {
		m := layerName.FindStringSubmatch(s.name)
		if m == nil {
			continue
		}
		if container != "" && m[1] != container {
			return replicated{}, fmt.Errorf("the base has two stacks of layers, %s and %s", container, m[1])
		}
		n, err := strconv.Atoi(m[2])
		if err != nil {
			return replicated{}, fmt.Errorf("layer number in %s: %w", s.name, err)
		}
		container, count = m[1], max(count, n+1)
	}
	if container == "" {
		return replicated{}, fmt.Errorf("the base has no stack of layers")
	}
	layers, err := layerRanges(ranges, count)
	if err != nil {
		return replicated{}, err
	}
	return replicated{slots: copyLayers(slots, layers), layers: layers}, nil
}

func layerRanges(ranges [][2]int, count int) (layerMap, error) {
	const most = 1 << 14 // far beyond any model; bounds a hostile config
	var layers layerMap
	for _, r := range ranges {
		if r[0] < 0 || r[1] > count || r[0] >= r[1] {
			return nil, fmt.Errorf("range [%d, %d) in a base of %d layers", r[0], r[1], count)
		}
		for n := r[0]; n < r[1]; n++ {
			layers = append(layers, n)
		}
		if len(layers) > most {
			return nil, fmt.Errorf("more than %d layers", most)
		}
	}
	return layers, nil
}

func copyLayers(slots []slot, layers layerMap) []slot {
	copies := make(map[int][]int) // base layer → merged layers
	for j, n := range layers {
		copies[n] = append(copies[n], j)
	}
	var out []slot
	for _, s := range slots {
		m := layerName.FindStringSubmatch(s.name)
		if m == nil {
			out = append(out, s)
			continue
		}
		n, _ := strconv.Atoi(m[2]) // replicate has parsed it
		for _, j := range copies[n] {
			c := s
			c.name = fmt.Sprintf("%s.%d%s", m[1], j, m[3])
			out = append(out, c)
		}
	}
	return out
}
