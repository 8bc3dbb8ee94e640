package modeldir

import (
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// Part is one adapter of a stack.
type Part struct {
	Adapter
	Weight float64 // of what it changes; finite, 1 when none was written
}

// maxParts bounds the plus signs of a reference, and so the work of reading it.
const maxParts = 64

// weighted is a reference with a weight behind it, as A@0.7.
var weighted = regexp.MustCompile(`^(.+)@([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)$`)

// notFinite is what strconv reads as a number and nobody can weigh with.
var notFinite = regexp.MustCompile(`^(?i:[-+]?(?:nan|inf|infinity))$`)

// stackPart is a part found on disk.
type stackPart struct {
	reference
	weight float64
}

// parseStack takes a reference apart that does not exist as written: at plus signs
// into parts, and at the last @ of a part into an adapter and its weight. Paths may
// hold either sign, so parts are taken from the left, each as long as it can be; a
// part that exists as written has no weight. Errors: *StackError, *NotFoundError.
func parseStack(ref string) ([]stackPart, error) {
	pieces := strings.Split(ref, "+")
	if len(pieces) > maxParts {
		return nil, &StackError{Ref: ref, Reason: fmt.Sprintf("it has more than %d parts", maxParts)}
	}
	hopeless := make([]bool, len(pieces)) // nothing fits from here on
	var read func(from int) []stackPart
	read = func(from int) []stackPart {
		for to := len(pieces); to > from && !hopeless[from]; to-- {
			part, err := parsePart(strings.Join(pieces[from:to], "+"))
			if err != nil {
				continue
			}
			if to == len(pieces) {
				return []stackPart{part}
			}
			if rest := read(to); rest != nil {
				return append([]stackPart{part}, rest...)
			}
		}
		hopeless[from] = true
		return nil
	}
	if parts := read(0); parts != nil {
		return parts, nil
	}
	return nil, stackProblem(ref, pieces)
}

func parsePart(text string) (stackPart, error) {
	host, err := locate(text)
	if err == nil {
		return stackPart{reference{ref: text, host: host, tree: treeName(text, host)}, 1}, nil
	}
	m := weighted.FindStringSubmatch(text)
	if m == nil {
		return stackPart{}, err
	}
	weight, err := strconv.ParseFloat(m[2], 64)
	if err != nil || math.IsInf(float64(float32(weight)), 0) {
		return stackPart{}, &StackError{Part: text, Reason: fmt.Sprintf("the weight %s is too large", m[2])}
	}
	if host, err = locate(m[1]); err != nil {
		return stackPart{}, err
	}
	tree := treeName(m[1], host) + "@" + m[2]
	return stackPart{reference{ref: m[1], host: host, tree: tree}, weight}, nil
}

// stackProblem says which part of a reference is wrong. One of which no part exists
// was hardly meant as a stack.
func stackProblem(ref string, pieces []string) error {
	problems := make([]error, len(pieces))
	found := false
	for i, piece := range pieces {
		problems[i] = partProblem(ref, piece)
		var missing *NotFoundError
		found = found || problems[i] == nil || piece != "" && !errors.As(problems[i], &missing)
	}
	if !found {
		_, err := locate(ref)
		return err
	}
	for _, err := range problems {
		if err != nil {
			return err
		}
	}
	_, err := locate(ref)
	return err
}

func partProblem(ref, piece string) error {
	if piece == "" {
		return &StackError{Ref: ref, Reason: "a part is empty"}
	}
	_, err := parsePart(piece)
	var stack *StackError
	if err == nil || errors.As(err, &stack) {
		if stack != nil {
			stack.Ref = ref
		}
		return err
	}
	i := strings.LastIndexByte(piece, '@')
	if i <= 0 {
		return err
	}
	// Behind the id of a cached repository a word is a revision.
	adapter, weight := piece[:i], piece[i+1:]
	_, statErr := os.Stat(expandHome(adapter))
	if statErr != nil {
		if _, cachedErr := locate(adapter); cachedErr != nil || weight != "" && !notFinite.MatchString(weight) {
			return err
		}
	}
	reason := fmt.Sprintf("the weight %q is not a number", weight)
	if notFinite.MatchString(weight) {
		reason = fmt.Sprintf("the weight %q is not finite", weight)
	}
	return &StackError{Ref: ref, Part: piece, Reason: reason}
}

// stackName is the name of a stack in the tree: those of its parts with their weights.
func stackName(parts []stackPart) string {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.tree
	}
	return strings.Join(names, "+")
}

// findStack opens the parts. The first that is no adapter is the stack's Err.
func (r reference) findStack() (found, error) {
	a := Adapter{Name: r.tree, Ref: r.ref}
	for _, p := range r.parts {
		one, err := p.find()
		if err != nil {
			return found{}, &StackPartError{Ref: r.ref, Part: p.ref, Err: err}
		}
		if one.library {
			return found{}, &StackError{Ref: r.ref, Part: p.ref, Reason: "it is a library of adapters; a part is one adapter"}
		}
		part := Part{Adapter: one.adapters[0], Weight: p.weight}
		if part.Err != nil && a.Err == nil {
			a.Err = &StackPartError{Ref: r.ref, Part: p.ref, Err: part.Err}
		}
		if a.Note == "" && part.Note != "" {
			a.Note = p.ref + ": " + part.Note
		}
		if len(part.Files) > 0 {
			a.Files = part.Files // a tokenizer is one whole: the last adapter that has one
		}
		a.Parts = append(a.Parts, part)
	}
	a.Dir = a.Parts[0].Dir
	return found{adapters: []Adapter{a}}, nil
}
