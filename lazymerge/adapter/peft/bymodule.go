package peft

import (
	"encoding/json"
	"fmt"
	"time"
)

// patternBudget bounds all matches of one pattern field together.
const patternBudget = 10 * time.Second

// byModule is a setting of which a pattern field may give some modules another value:
// r with rank_pattern. It remembers when it began to match.
type byModule[T any] struct {
	Field    string // "r"
	Value    T      // of the modules that no pattern matches
	Patterns []modulePattern[T]

	path  string // of the config
	name  string // of the pattern field
	start time.Time
}

// modulePattern gives the modules that Pattern matches a value of their own.
type modulePattern[T any] struct {
	Pattern string
	Value   T
	match   *pattern
}

// rankByModule reads a rank, and the ranks of some modules from the pattern field.
func (v *values) rankByModule(field, patterns string, otherwise int64, how matching) *byModule[int64] {
	return readByModule(v, field, patterns, otherwise, how, v.rank)
}

// numberByModule reads a number, and those of some modules from the pattern field.
func (v *values) numberByModule(field, patterns string, otherwise float64, how matching) *byModule[float64] {
	return readByModule(v, field, patterns, otherwise, how, v.number)
}

func readByModule[T any](v *values, field, patterns string, otherwise T, how matching, decode func(string, json.RawMessage) T) *byModule[T] {
	b := &byModule[T]{Field: field, Value: otherwise, path: v.path, name: patterns, start: time.Now()}
	if raw, ok := v.obj.get(field); ok {
		b.Value = decode(field, raw)
	}
	for _, m := range v.object(patterns) {
		x := modulePattern[T]{Pattern: m.key, Value: decode(patterns, m.raw)}
		if v.err != nil {
			return b
		}
		re, err := how(m.key)
		if err == nil && !re.plain {
			err = b.overspent()
		}
		if err != nil {
			v.err = b.patternError(m.key, err)
			return b
		}
		x.match = re
		b.Patterns = append(b.Patterns, x)
	}
	return b
}

func (b *byModule[T]) overspent() error {
	if time.Since(b.start) > patternBudget {
		return fmt.Errorf("the patterns together take more than %v", patternBudget)
	}
	return nil
}

func (b *byModule[T]) patternError(pattern string, err error) error {
	return &FieldError{Path: b.path, Field: b.name, Value: fmt.Sprintf("%q", pattern), Reason: "the pattern cannot be used: " + err.Error()}
}

// of is the value for a module and the field, or the pattern, that says so: that of
// the first pattern that matches, else of one that is the name itself (characters with
// a meaning may keep a name from matching itself). Errors: *FieldError.
func (b *byModule[T]) of(module string) (value T, field string, err error) {
	for i, p := range b.Patterns {
		ok, err := p.match.match(module)
		if err == nil && (!p.match.plain || i%1024 == 1023) {
			err = b.overspent()
		}
		if err != nil {
			return b.Value, "", b.patternError(p.Pattern, err)
		}
		if ok {
			return p.Value, b.from(p.Pattern), nil
		}
	}
	for _, p := range b.Patterns {
		if p.Pattern == module {
			return p.Value, b.from(p.Pattern), nil
		}
	}
	return b.Value, b.Field, nil
}

func (b *byModule[T]) from(pattern string) string { return fmt.Sprintf("%s %q", b.name, pattern) }
