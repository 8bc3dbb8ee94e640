package peft

import (
	"fmt"
	"slices"
	"strings"

	"lorafs/lazymerge/transform"
)

// bdSettings are BD-LoRA's (use_bdlora): one factor of a linear module is block
// diagonal, and stored without what is zero.
type bdSettings struct {
	a, b   []string // parts of the names of modules whose A, whose B is
	blocks int64
	strict bool // each module has to be named
}

// bdFields are those of use_bdlora, as PEFT 0.21.2 has them.
var bdFields = []string{"match_strict", "nblocks", "target_modules_bd_a", "target_modules_bd_b"}

func readBdLoRA(v *values, s *loraSettings) *bdSettings {
	raw := v.field("use_bdlora")
	if raw == nil || !present(raw) {
		return nil
	}
	inner := &values{path: v.path, obj: v.object("use_bdlora"), err: v.err}
	for _, m := range inner.obj {
		if !slices.Contains(bdFields, m.key) {
			inner.fail("use_bdlora."+m.key, m.raw, "no field of it that is known")
		}
	}
	bd := &bdSettings{a: inner.names("target_modules_bd_a"), b: inner.names("target_modules_bd_b"), blocks: inner.positive("nblocks", 1), strict: true}
	if inner.field("match_strict") != nil {
		bd.strict = inner.boolean("match_strict")
	}
	if v.err = inner.err; s.DoRA || s.MiCA || s.LoRABias {
		v.refuse("use_bdlora", "PEFT does not combine block-diagonal factors with use_dora, lora_bias or MiCA")
	}
	return bd
}

// apply makes the low-rank edit of a module one of block-diagonal factors. PEFT
// rounds the delta of every such module first, of those without blocks too (peft
// tuners/lora/variants.py:1041 @0.21.2).
func (bd *bdSettings) apply(p *parser, l *layer, low transform.LowRank) (transform.Factors, error) {
	f := transform.Factors{
		Type: "bdlora", Scale: low.Scale, Class: transform.Double,
		A: transform.Stored{Tensor: low.A}, B: transform.Stored{Tensor: low.B},
	}
	if low.Layer != transform.Linear {
		return f, bd.fail(p, l, "no linear layer, as PEFT asks")
	}
	ofA, ofB := partIn(l.module, bd.a), partIn(l.module, bd.b)
	switch {
	case ofA && ofB:
		return f, bd.fail(p, l, "named both for A and for B")
	case ofA:
		f.A = transform.Diagonal{Of: low.A, Blocks: bd.blocks}
	case ofB:
		f.B = transform.Diagonal{Of: low.B, Blocks: bd.blocks}
	case bd.strict:
		return f, bd.fail(p, l, "named neither for A nor for B")
	}
	return f, nil
}

func (bd *bdSettings) fail(p *parser, l *layer, how string) error {
	return &FieldError{Path: p.config.Path, Field: "use_bdlora", Value: "on", Reason: fmt.Sprintf("module %q is %s", l.module, how)}
}

func partIn(name string, parts []string) bool {
	for _, part := range parts {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}
