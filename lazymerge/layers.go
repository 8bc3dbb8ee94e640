package lazymerge

import (
	"bytes"
	"fmt"
	"strings"
	"text/tabwriter"

	"lorafs/lazymerge/modeldir"
	"lorafs/lazymerge/transform"
)

// Layer is one adapter of a stack in a Report.
type Layer struct {
	Adapter string  `json:"adapter"`
	Weight  float64 `json:"weight"`
	Type    string  `json:"type"`
	Merged  int     `json:"tensors_merged"` // changed by this adapter
	Ranks   [2]int  `json:"ranks"`          // lowest and highest, 0 without any
	Note    string  `json:"note,omitempty"`
}

// Summary is a line on what the adapter does.
func (l Layer) Summary() string {
	s := fmt.Sprintf("%s, %d tensors", l.Type, l.Merged)
	switch low, high := l.Ranks[0], l.Ranks[1]; {
	case high > 0 && low == high:
		s += fmt.Sprintf(", rank %d", low)
	case high > 0:
		s += fmt.Sprintf(", ranks %d to %d", low, high)
	}
	if l.Note != "" {
		s += "; " + l.Note
	}
	return s
}

// name is that of the i-th adapter, "" without a stack.
func (s *stack) name(i int) string {
	if s == nil {
		return ""
	}
	return s.parts[i].name
}

// describeStack sums up the edits of each adapter.
func (r *Report) describeStack(m *Model, a modeldir.Adapter) {
	s := m.opt.stack
	if s == nil {
		return
	}
	if w := s.tokenizerWarning(a); w != "" {
		r.Warnings = append(r.Warnings, transform.Warning{Concern: transform.TokenizerKept, Text: w})
	}
	r.Combined = "sum"
	switch {
	case m.opt.Combine != nil:
		r.Combined = m.opt.Combine.Type
	case m.opt.Rounding != transform.Once:
		r.Combined = "one after another"
	}
	for i, p := range s.parts {
		l := Layer{Adapter: p.name, Weight: p.weight, Type: p.recipe.Type, Note: p.note}
		for _, plan := range m.plans {
			for _, o := range plan.outputs {
				l.note(o, i)
			}
		}
		r.Stack = append(r.Stack, l)
	}
}

// note counts the edits that the i-th adapter makes of an output.
func (l *Layer) note(o *output, i int) {
	edited := false
	for _, e := range o.edits {
		if e.Adapter != i {
			continue
		}
		edited = true
		rank := e.Transform.Describe().Rank
		if rank > 0 && (l.Ranks[0] == 0 || rank < l.Ranks[0]) {
			l.Ranks[0] = rank
		}
		l.Ranks[1] = max(l.Ranks[1], rank)
	}
	if edited {
		l.Merged++
	}
}

func (r *Report) writeStack(b *bytes.Buffer) error {
	if r.Stack == nil {
		return nil
	}
	fmt.Fprintf(b, "stack     %s\n", r.Combined)
	var lines bytes.Buffer
	w := tabwriter.NewWriter(&lines, 0, 0, 2, ' ', 0)
	for _, l := range r.Stack {
		fmt.Fprintf(w, "%v\t%s\t%s\n", l.Weight, l.Adapter, l.Summary())
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	for line := range strings.Lines(lines.String()) {
		b.WriteString("          " + line)
	}
	return nil
}

// stackNotes are what a user should know of the values of a stack.
func (o Options) stackNotes() []string {
	s, c := o.stack, o.Combine
	if s == nil {
		return nil
	}
	if c == nil {
		if o.Rounding != transform.Once && s.stacksDoRA() {
			return []string{"deviation from PEFT: on 16-bit weights PEFT takes earlier adapters off again for the norm of DoRA, which costs bits; here it is the base's"}
		}
		if o.Rounding == transform.Once {
			return []string{"the adapters' deltas are added up and the sum is rounded once; --rounding peft rounds after each adapter, as PEFT does"}
		}
		return nil
	}
	var notes []string
	if len(s.parts) == 1 && c.Type != "linear" {
		notes = append(notes, "one adapter is combined by linear whatever the type, as PEFT does")
	}
	if s.parts[0].recipe.RSLoRA {
		t := combineTypes[c.Type]
		notes = append(notes, fmt.Sprintf("as in PEFT the result takes over use_rslora of %s and is √%d times as strong", s.parts[0].name, s.newRank(t.form)))
	}
	if c.Draws() {
		notes = append(notes, "deviation from PEFT: what is dropped at random is drawn for each tensor from a seed of its own (--seed plus the CRC-32 of its name), where PEFT's draws go on from tensor to tensor")
	}
	if strings.HasSuffix(c.Type, "svd") && s.anyConv() {
		notes = append(notes, "deviation from PEFT: convolutions of one and three dimensions are decomposed as well, where PEFT fails")
	}
	return notes
}

func (s *stack) stacksDoRA() bool {
	for _, p := range s.parts[1:] {
		for _, e := range p.recipe.Edits {
			if _, ok := e.Transform.(transform.DoRA); ok {
				return true
			}
		}
	}
	return false
}

func (s *stack) anyConv() bool {
	for _, p := range s.parts {
		for _, e := range p.recipe.Edits {
			if l, ok := e.Transform.(transform.LowRank); ok && l.Layer == transform.Conv && (len(l.A.Shape) == 3 || len(l.A.Shape) == 5) {
				return true
			}
		}
	}
	return false
}
