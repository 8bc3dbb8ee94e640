package peft

import (
	"strconv"
	"strings"

	"lorafs/lazymerge/transform"
)

// oft reads peft_type OFT: orthogonal blocks that the inputs of a module are
// multiplied with.
var oft = method{
	prefix: "oft_",
	usual: []string{"bias", "exclude_modules", "fan_in_fan_out", "init_weights", "layers_pattern", "layers_to_transform",
		"module_dropout", "modules_to_save", "target_modules"},
	fields: []fieldRule{
		{name: "block_share", use: used},
		{name: "coft", use: used},
		{name: "eps", use: used},
		{name: "num_cayley_neumann_terms", use: used},
		{name: "oft_block_size", use: used},
		{name: "r", use: ignored, reason: "the tensors' shapes tell the number of blocks"},
		{name: "use_cayley_neumann", use: used},
	},
	past: []fieldRule{
		{name: "alpha_pattern", use: ignored, reason: "OFT has no alpha"},
		{name: "rank_pattern", use: ignored, reason: "the tensors' shapes tell the number of blocks"},
	},
	leaves: []leaf{{path: "oft_R.weight"}, {path: "oft_embedding_R.weight"}, {path: "oft_r"}, {path: "oft_s"}},
	read:   func(v *values) maker { return readOFT(v) },
}

type oftSettings struct {
	share      bool
	constraint float64 // 0: none
	series     transform.Series
	note       string
}

// mostTerms bounds the time that a series takes.
const mostTerms = 1000

func readOFT(v *values) *oftSettings {
	s := &oftSettings{share: v.boolean("block_share")}
	eps, terms := 6e-5, int64(5)
	if raw := v.field("eps"); raw != nil {
		eps = v.number("eps", raw)
	}
	if raw := v.field("num_cayley_neumann_terms"); raw != nil {
		n, ok := decodeInt(raw)
		if !ok || n > mostTerms {
			v.fail("num_cayley_neumann_terms", raw, "not a number of terms")
		}
		terms = n
	}
	if raw := v.field("oft_block_size"); raw == nil {
		v.refuse("oft_block_size", "it is not there: PEFT before 0.14 had another OFT, which later versions do not read")
	} else if n, ok := decodeInt(raw); !ok || n < 0 {
		v.fail("oft_block_size", raw, "not a size of blocks")
	}
	if v.boolean("coft") {
		s.constraint = eps
	}
	if v.field("use_cayley_neumann") == nil || v.boolean("use_cayley_neumann") {
		s.series.Terms = int(max(terms, 1))
		s.readVersion(v)
	}
	return s
}

// readVersion finds out how the series ends. Before 0.18 configs had no version.
func (s *oftSettings) readVersion(v *values) {
	version := v.text("peft_version")
	before, ok := isBefore(version, 0, 18)
	if !ok {
		v.fail("peft_version", v.field("peft_version"), "not a version")
	}
	if before && s.series.Terms > 2 {
		s.series.Twice = true
		s.note = "trained by PEFT before 0.18, whose series of rotations is followed; later versions cut it off differently"
	}
}

// isBefore tells whether a version of Python's kind precedes the release major.minor.
// The commit behind an @ does not count, none at all is the lowest.
func isBefore(version string, major, minor int) (before, ok bool) {
	version, _, _ = strings.Cut(version, "@")
	if version == "" {
		return true, true
	}
	numbers := [2]int{}
	rest := version
	for i := range numbers {
		n := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		x, err := strconv.Atoi(rest[:n])
		if err != nil {
			return false, false
		}
		numbers[i], rest = x, rest[n:]
		if i == 0 {
			rest = strings.TrimPrefix(rest, ".")
		}
	}
	if numbers != [2]int{major, minor} {
		return numbers[0] < major || numbers[0] == major && numbers[1] < minor, true
	}
	// What precedes 0.18.0 is 0.18 with nothing but zeros and a mark of a pre-release.
	rest = strings.TrimLeft(rest, ".0")
	return rest != "" && strings.ContainsAny(rest[:1], "abcdr") && !strings.HasPrefix(rest, "post"), true
}

func (s *oftSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	t := transform.InputRotation{Type: "oft", Share: s.share, Constraint: s.constraint, Series: s.series, Note: s.note}
	old := l.tensors["oft_r"] != nil || l.tensors["oft_s"] != nil
	switch {
	case old:
		w, err := p.need(l, "oft_r", "oft_s")
		if err != nil {
			return nil, err
		}
		t.Blocks, t.Rescale, t.Series, t.Note, t.ByOutputs = w[0], w[1], transform.Series{}, "", true
	case l.tensors["oft_embedding_R"] != nil:
		t.Blocks, t.Embedding = l.tensors["oft_embedding_R"], true
	default:
		w, err := p.need(l, "oft_R")
		if err != nil {
			return nil, err
		}
		t.Blocks = w[0]
	}
	return []transform.Edit{l.edit("weight", t)}, nil
}
