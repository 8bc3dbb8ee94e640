package lazymerge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"lorafs/lazymerge/modeldir"
	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// Report says what an adapter changes in its base, tensor by tensor.
type Report struct {
	Base     string              `json:"base"`
	Adapter  string              `json:"adapter"`
	File     string              `json:"-"` // the adapter's weights, "" of a stack
	Note     string              `json:"note,omitempty"`
	Type     string              `json:"type"`
	Rounding string              `json:"rounding"`
	Edits    []Change            `json:"edits"`
	Added    []string            `json:"added,omitempty"`   // tensors that the base does not have
	Dropped  []string            `json:"dropped,omitempty"` // tensors that the merged class does not have
	Config   []string            `json:"config,omitempty"`  // what changed in config.json
	LeftOut  []string            `json:"left_out,omitempty"`
	Warnings []transform.Warning `json:"warnings,omitempty"`
	Notes    []string            `json:"notes,omitempty"` // where the values are not those of PEFT's merge, and quirks kept
	Stack    []Layer             `json:"stack,omitempty"` // the adapters of a stack, in order
	Combined string              `json:"combined,omitempty"`
	Tensors  int                 `json:"tensors"`        // in the merged model
	Merged   int                 `json:"tensors_merged"` // of them changed by the adapter
}

// Change is one edit: the adapter tensors it reads and the tensor it changes.
type Change struct {
	Tensor  string    `json:"tensor"`
	Match   string    `json:"match"` // how the name was found
	Keys    []string  `json:"adapter_tensors"`
	Norms   []float64 `json:"norms"` // Frobenius, one per adapter tensor; -1 when it is not finite
	Type    string    `json:"type"`
	Rank    int       `json:"rank,omitempty"`
	Scaling float64   `json:"scaling,omitempty"`
	Note    string    `json:"note,omitempty"`
	Adapter string    `json:"adapter,omitempty"` // which of a stack
}

func newReport(m *Model, a modeldir.Adapter, norms map[*safetensors.Tensor]float64, leftOut []string) *Report {
	r := &Report{
		Base: m.base.Ref(), Adapter: a.Ref, File: m.recipe.File, Note: a.Note, Type: m.recipe.Type, Rounding: m.opt.Rounding.String(),
		LeftOut: leftOut, Warnings: slices.Clone(m.recipe.Warnings),
	}
	notes := slices.Clone(m.recipe.Notes)
	var read [][]*safetensors.Tensor
	for _, p := range m.plans {
		read = append(read, r.add(p)...)
		notes = append(notes, p.notes...)
	}
	for i, tensors := range read {
		for _, t := range tensors {
			n := norms[t]
			if math.IsInf(n, 0) {
				n = -1 // JSON has no infinity
			}
			r.Edits[i].Norms = append(r.Edits[i].Norms, n)
		}
	}
	if m.opt.stack != nil {
		r.File = ""
	}
	r.describeStack(m, a)
	r.Notes = r.remarks(append(notes, m.opt.stackNotes()...))
	return r
}

// add reports one component and returns the tensors that each edit reads. In a
// pipeline a tensor's name has that of its component in front.
func (r *Report) add(p *planner) (read [][]*safetensors.Tensor) {
	name := func(o *output) string { return p.c.treePath(o.info.Name) }
	r.Tensors += len(p.outputs)
	r.Dropped = append(r.Dropped, p.config.dropped...)
	r.Warnings = append(r.Warnings, p.warnings...)
	if cfg := p.c.dir.Config; len(cfg) > 0 {
		r.Config = append(r.Config, p.config.describe(cfg)...)
	}
	for _, o := range p.outputs {
		if o.added {
			r.Added = append(r.Added, name(o))
		}
		if o.edited() {
			r.Merged++
		}
		for i, e := range o.edits {
			if i > 0 && e.plane > 0 && e.Adapter == o.edits[i-1].Adapter && slices.Equal(e.Keys, o.edits[i-1].Keys) {
				continue // another matrix of the stack
			}
			d := e.Transform.Describe()
			r.Edits = append(r.Edits, Change{
				Tensor: name(o), Match: e.how, Keys: e.Keys,
				Type: d.Type, Rank: d.Rank, Scaling: d.Scaling, Note: d.Note, Adapter: p.opt.stack.name(e.Adapter),
			})
			read = append(read, e.Transform.Tensors())
		}
	}
	return read
}

// describe lists the corrections as "path: before → after".
func (e *configEdits) describe(raw []byte) []string {
	var out []string
	if !e.any() {
		return nil
	}
	for _, edit := range e.changes(raw) {
		if edit.path == "id2label" || edit.path == "label2id" {
			continue
		}
		out = append(out, fmt.Sprintf("%s: %s → %v", edit.path, edit.before, edit.value))
	}
	return out
}

// JSON is the report as a document.
func (r *Report) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write report: %w", err)
	}
	return append(b, '\n'), nil
}

// Text is the report for people.
func (r *Report) Text() ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "base      %s\nadapter   %s (%s)\n", r.Base, r.Adapter, r.Type)
	if r.Note != "" {
		fmt.Fprintf(&b, "          %s\n", r.Note)
	}
	if err := r.writeStack(&b); err != nil {
		return nil, err
	}
	fmt.Fprintf(&b, "rounding  %s\nmerged    %d of %d tensors\n", r.Rounding, r.Merged, r.Tensors)
	for _, part := range []struct {
		title string
		lines []string
	}{{"warnings", r.warningTexts()}, {"notes", r.Notes}, {"config.json", r.Config}, {"added tensors", r.Added}, {"dropped tensors", r.Dropped}, {"left out of the tree", r.LeftOut}} {
		if len(part.lines) > 0 {
			fmt.Fprintf(&b, "\n%s\n  %s\n", part.title, strings.Join(part.lines, "\n  "))
		}
	}
	b.WriteString("\nscaling: of the delta; norms: Frobenius, of each adapter tensor; found: how the module's name led to the tensor\n")
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	of := ""
	if r.Stack != nil {
		of = "adapter\t"
	}
	fmt.Fprintln(w, of+"tensor\ttype\trank\tscaling\tnorms\tfound\tadapter tensors")
	for _, c := range r.Edits {
		if r.Stack != nil {
			fmt.Fprintf(w, "%s\t", c.Adapter)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%.6g\t%s\t%s\t%s\n", c.Tensor, c.Type, c.Rank, c.Scaling, norms(c.Norms), c.Match, strings.Join(c.Keys, " "))
	}
	if err := w.Flush(); err != nil {
		return nil, fmt.Errorf("write report: %w", err)
	}
	return b.Bytes(), nil
}

func (r *Report) warningTexts() []string {
	texts := make([]string, len(r.Warnings))
	for i, w := range r.Warnings {
		texts[i] = w.Text
	}
	return texts
}

// Summary is one line on what the adapter does.
func (r *Report) Summary() string {
	ranks, lowest, highest := 0, math.MaxInt, 0
	for _, c := range r.Edits {
		if c.Rank > 0 {
			ranks++
			lowest, highest = min(lowest, c.Rank), max(highest, c.Rank)
		}
	}
	s := fmt.Sprintf("%s, %d of %d tensors", r.Type, r.Merged, r.Tensors)
	if n := len(r.Stack); n > 0 {
		s = fmt.Sprintf("stack of %d, ", n) + s
	}
	switch {
	case ranks > 0 && lowest == highest:
		s += fmt.Sprintf(", rank %d", lowest)
	case ranks > 0:
		s += fmt.Sprintf(", ranks %d to %d", lowest, highest)
	}
	return s
}

// remarks are those of the plan and of the edits, each once.
func (r *Report) remarks(plan []string) []string {
	out := slices.Clone(plan)
	for _, c := range r.Edits {
		if c.Note != "" && !slices.Contains(out, c.Note) {
			out = append(out, c.Note)
		}
	}
	return out
}

func norms(all []float64) string {
	parts := make([]string, len(all))
	for i, n := range all {
		parts[i] = fmt.Sprintf("%.4g", n)
	}
	return strings.Join(parts, " ")
}
