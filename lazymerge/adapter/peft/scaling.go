package peft

import (
	"fmt"
	"math"
	"time"
)

// patternBudget bounds all pattern matches of one adapter together.
const patternBudget = 10 * time.Second

// scales answers rank and scaling of modules. It remembers the time spent.
type scales struct {
	config *Config
	ranks  []*pattern
	alphas []*pattern
	start  time.Time
}

// newScales compiles the patterns. Errors: *FieldError.
func newScales(c *Config) (*scales, error) {
	s := &scales{config: c, start: time.Now()}
	for _, p := range c.LoRA.RankPattern {
		re, err := s.compile("rank_pattern", p.Pattern)
		if err != nil {
			return nil, err
		}
		s.ranks = append(s.ranks, re)
	}
	for _, p := range c.LoRA.AlphaPattern {
		re, err := s.compile("alpha_pattern", p.Pattern)
		if err != nil {
			return nil, err
		}
		s.alphas = append(s.alphas, re)
	}
	return s, nil
}

func (s *scales) compile(field, text string) (*pattern, error) {
	re, err := compileSuffix(text)
	if err == nil && !re.plain {
		err = s.overspent()
	}
	if err != nil {
		return nil, s.patternError(field, text, err)
	}
	return re, nil
}

func (s *scales) overspent() error {
	if time.Since(s.start) > patternBudget {
		return fmt.Errorf("the patterns together take more than %v", patternBudget)
	}
	return nil
}

func (s *scales) patternError(field, pattern string, err error) error {
	return &FieldError{Path: s.config.Path, Field: field, Value: fmt.Sprintf("%q", pattern), Reason: "the pattern cannot be used: " + err.Error()}
}

// rank is the rank of a module, and the field that says so.
func (s *scales) rank(module string) (r int64, field string, err error) {
	i, err := s.find("rank_pattern", s.ranks, module, func(i int) string { return s.config.LoRA.RankPattern[i].Pattern })
	if err != nil || i < 0 {
		return s.config.LoRA.R, "r", err
	}
	p := s.config.LoRA.RankPattern[i]
	return p.Rank, fmt.Sprintf("rank_pattern %q", p.Pattern), nil
}

func (s *scales) alpha(module string) (float64, error) {
	i, err := s.find("alpha_pattern", s.alphas, module, func(i int) string { return s.config.LoRA.AlphaPattern[i].Pattern })
	if err != nil || i < 0 {
		return s.config.LoRA.Alpha, err
	}
	return s.config.LoRA.AlphaPattern[i].Alpha, nil
}

// find is the first pattern that matches, else one that is the name itself
// (characters with a meaning may keep a name from matching itself), else -1.
func (s *scales) find(field string, patterns []*pattern, module string, text func(int) string) (int, error) {
	for i, p := range patterns {
		ok, err := p.match(module)
		if err == nil && (!p.plain || i%1024 == 1023) {
			err = s.overspent()
		}
		if err != nil {
			return -1, s.patternError(field, text(i), err)
		}
		if ok {
			return i, nil
		}
	}
	for i := range patterns {
		if text(i) == module {
			return i, nil
		}
	}
	return -1, nil
}

// scaling is what PEFT multiplies B·A with (peft tuners/lora/layer.py:278 @0.21.2).
func (s *scales) scaling(module string, r int64) (float64, error) {
	alpha, err := s.alpha(module)
	if err != nil {
		return 0, err
	}
	if s.config.LoRA.RSLoRA {
		return alpha / math.Sqrt(float64(r)), nil
	}
	return alpha / float64(r), nil
}
