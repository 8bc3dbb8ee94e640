package lazymerge

import (
	"strconv"
	"strings"

	"lorafs/lazymerge/resolve"
)

// renameForTask gives the tensors the names of a checkpoint of the adapter's task
// class when the adapter adds a head that the base lacks: an encoder saved on its
// own gains its prefix ("bert."), the head that the new one replaces goes. Without
// it readers take the mixture for a checkpoint of neither class.
func (p *planner) renameForTask() {
	class := p.recipe.AutoClass
	if class == "" {
		class, _ = resolve.TaskClass(p.c.modelType(), p.recipe.TaskType)
	}
	if class == "" || !p.addsHead() {
		return
	}
	rename := p.names.TaskNames(class)
	if rename == nil {
		return
	}
	kept := p.outputs[:0]
	for _, o := range p.outputs {
		if o.added {
			kept = append(kept, o)
			continue
		}
		name, keep := rename(o.name)
		if !keep && !o.edited() {
			p.config.dropped = append(p.config.dropped, o.name)
			continue
		}
		if keep {
			o.info.Name = name
		}
		kept = append(kept, o)
	}
	p.outputs = kept
	p.config.class = class
	p.config.labels = p.labels(class)
}

func (p *planner) addsHead() bool {
	for _, o := range p.outputs {
		if o.added && o.root == nil {
			return true
		}
	}
	return false
}

// labels is the number of outputs of an added classification head, 0 when there is
// none.
func (p *planner) labels(class string) int64 {
	if !strings.Contains(class, "Classification") {
		return 0
	}
	var n int64
	named := false
	for _, o := range p.outputs {
		if !o.added || o.root != nil || len(o.from.Shape) != 2 {
			continue
		}
		// Among the layers of a head the last has the rows; it goes by one of these names.
		last := headName(o.name)
		if n == 0 || last && !named || last == named && o.from.Shape[0] < n {
			n, named = o.from.Shape[0], last
		}
	}
	return n
}

func headName(tensor string) bool {
	module := strings.TrimSuffix(tensor, ".weight")
	switch module[strings.LastIndexByte(module, '.')+1:] {
	case "score", "classifier", "out_proj", "logits_proj":
		return true
	}
	return false
}

func labelNames(n int64) (id2label, label2id map[string]any) {
	id2label, label2id = map[string]any{}, map[string]any{}
	for i := range n {
		name := "LABEL_" + strconv.FormatInt(i, 10)
		id2label[strconv.FormatInt(i, 10)] = name
		label2id[name] = i
	}
	return id2label, label2id
}
