package peft

import (
	"sync"

	"lorafs/lazymerge/transform"
)

// unilora reads peft_type UNILORA: low-rank factors made of the elements of one vector
// that all modules share.
var unilora = method{
	prefix: "unilora_",
	usual:  vera.usual,
	fields: []fieldRule{
		{name: "init_theta_d_bound", use: ignored, reason: training},
		{name: "proj_seed", use: used},
		{name: "r", use: used},
		{name: "save_indices", use: used},
		{name: "theta_d_length", use: used},
		{name: "unilora_dropout", use: ignored, reason: training},
	},
	leaves: []leaf{{path: "unilora_indices_A"}, {path: "unilora_indices_B"}, {path: "unilora_scales_A"}, {path: "unilora_scales_B"}},
	shared: []leaf{{path: "unilora_theta_d"}},
	read: func(v *values) maker {
		s := &uniloraSettings{rank: v.positive("r", 4), length: v.positive("theta_d_length", 256)}
		if s.drawn = !v.saved("save_indices", false); s.drawn {
			s.refuseSelection(v)
		}
		if s.seed = v.seed("proj_seed", 42); s.seed < 0 {
			v.fail("proj_seed", v.field("proj_seed"), "numpy has no negative seeds")
		}
		return s
	},
}

type uniloraSettings struct {
	rank, length int64
	drawn        bool // the indices were not saved
	seed         int64
}

// refuseSelection: without indices nothing but target_modules tells the modules.
func (s *uniloraSettings) refuseSelection(v *values) {
	const reason = "the file names no module, and this version knows them by target_modules alone"
	if raw := v.field("layers_to_transform"); raw != nil {
		v.refuse("layers_to_transform", reason)
	}
	if names, text := v.namesOrText("target_modules"); len(names) == 0 && text == "" || text == "all-linear" {
		v.refuse("target_modules", reason)
	}
}

// everywhere is the edit of all modules, when the file has nothing of them.
func (s *uniloraSettings) everywhere(p *parser) (*transform.Everywhere, error) {
	if !s.drawn {
		return nil, nil
	}
	theta := p.shared["unilora_theta_d"]
	l := &layer{module: "base_model"}
	if theta == nil {
		return nil, p.missing(l, "unilora_theta_d")
	}
	if err := p.checkRank(l, theta, 0, s.length, "theta_d_length"); err != nil {
		return nil, err
	}
	p.used[theta.Name] = true
	means := p.config.listMatch
	if text := p.config.TargetRegexp; text != "" {
		re, err := compileFull(text)
		if err != nil {
			return nil, p.fieldError("target_modules", err)
		}
		means = re.match
	}
	return &transform.Everywhere{Means: means, Edit: l.edit("weight", transform.DrawnUniLoRA{
		Theta: theta, Rank: s.rank, Seed: uint64(s.seed), Class: p.class, Turn: new(sync.Mutex),
	})}, nil
}

func (s *uniloraSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	if s.drawn {
		return nil, &FieldError{Path: p.config.Path, Field: "save_indices", Value: "false", Reason: "but the weights hold those of " + l.module}
	}
	w, err := p.need(l, "unilora_indices_A", "unilora_indices_B", "unilora_scales_A", "unilora_scales_B")
	if err != nil {
		return nil, err
	}
	theta, err := p.needShared(l, "unilora_theta_d")
	if err != nil {
		return nil, err
	}
	if err := p.checkRank(l, w[0], 0, s.rank, "r"); err != nil {
		return nil, err
	}
	if err := p.checkRank(l, theta[0], 0, s.length, "theta_d_length"); err != nil {
		return nil, err
	}
	return []transform.Edit{l.edit("weight", transform.UniLoRA{
		Theta: theta[0], IndexA: w[0], IndexB: w[1], ScaleA: w[2], ScaleB: w[3], Class: p.class,
	})}, nil
}
