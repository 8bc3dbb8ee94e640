package lazymerge

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"lorafs/lazymerge/adapter/peft"
	"lorafs/lazymerge/transform"
)

// rowsMean is what the rows of a tensor stand for, where training may change their
// number.
type rowsMean uint8

const (
	rowsFixed      rowsMean = iota // the size is the architecture's
	rowsVocabulary                 // tokens
	rowsLabels                     // classes of a task
)

// taskHeads are modules with a row for each class.
var taskHeads = []string{"score", "classifier", "qa_outputs", "classification_head"}

// rowsOf says what the rows of a tensor stand for: by the module's name, or by their
// number.
func (p *planner) rowsOf(o *output) rowsMean {
	if len(o.info.Shape) == 0 {
		return rowsFixed
	}
	cfg, rows := gjson.ParseBytes(p.c.dir.Config), o.info.Shape[0]
	parts := strings.Split(o.name, ".")
	module := parts[max(len(parts)-2, 0)]
	if slices.ContainsFunc(parts, func(part string) bool { return slices.Contains(taskHeads, part) }) && rows == labelCount(cfg) {
		return rowsLabels
	}
	if slices.Contains(peft.Vocabularies, module) {
		return rowsVocabulary
	}
	for _, s := range sections(cfg) {
		if v := cfg.Get(s + "vocab_size"); v.Exists() && v.Int() == rows {
			return rowsVocabulary
		}
	}
	return rowsFixed
}

// warnVocabularies says where one of embedding and head was resized and the other was not.
// PEFT saves both, unless it cannot find the base's config.
func (p *planner) warnVocabularies() {
	from, to := p.config.vocab[0], p.config.vocab[1]
	for _, o := range p.outputs {
		module, _ := cutLast(o.name)
		if from != to && vocabulary(module) && len(o.info.Shape) == 2 && o.info.Shape[0] == from {
			p.warnings = append(p.warnings, transform.Warnf(transform.VocabularyPart, o.name, "the vocabulary has %d tokens by the adapter, but %s, of which the weights hold nothing, has %d: the merged model cannot be loaded", to, o.name, from))
		}
	}
}

// labelCount is the number of classes that the base has, transformers' default where
// config.json is silent.
func labelCount(cfg gjson.Result) int64 {
	if n := cfg.Get("id2label"); n.IsObject() {
		return int64(len(n.Map()))
	}
	if n := cfg.Get("num_labels"); n.Exists() {
		return n.Int()
	}
	return 2
}

// resize books another number of rows. It returns false where the number is fixed.
func (p *planner) resize(o *output, rows int64) bool {
	switch p.rowsOf(o) {
	case rowsVocabulary:
		p.config.resized(o.name, o.info.Shape[0], rows)
	case rowsLabels:
		p.config.labels = rows
	default:
		return false
	}
	return true
}
