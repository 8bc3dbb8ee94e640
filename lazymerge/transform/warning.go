package transform

import "fmt"

// Concern says what a Warning is about.
type Concern uint8

const (
	Untrained      Concern = iota // the change of every module is zero
	UntrainedPart                 // the change of some modules is zero
	NonFinite                     // NaN or infinite values, which the caller allowed
	Unused                        // tensors without a use, which the caller allowed
	Unmatched                     // edits that fit no base tensor, which the caller allowed
	TargetsUnread                 // target_modules cannot be compared with the names
	TargetsMissed                 // target_modules does not mean modules that have tensors
	WholeUnlisted                 // whole parameters that the config does not list
	SavedAbsent                   // a module of modules_to_save of which the weights hold nothing
	ModulesLost                   // modules without tensors that are trained in other layers
	VocabularyPart                // one of embedding and head has the size of another vocabulary
	NameLeft                      // the adapter's name stands in the names of the tensors
	NamesWrapped                  // a wrapper's names, or none of PEFT's prefix, in the names of the tensors
	ExpertsGuess                  // the order of the experts' columns is a guess
	AlphaAbsent                   // some modules of a file have no alpha
	AlphaZero                     // some modules of a file have an alpha of 0
	MagnitudePart                 // some modules of a file are DoRA
	ScaleGuess                    // a file of PEFT's names without its config
	PartGuess                     // one of two parts of a pipeline is left as it is
	DeltaReplaced                 // what one adapter of a stack adds, another replaces
	TokenizerKept                 // a stack has several tokenizers
	TieKept                       // the config says tied where the tensors differ
	BaseNonFinite                 // NaN or infinite values in the base
	concerns                      // their number
)

// Concerns lists all of them.
func Concerns() []Concern {
	all := make([]Concern, concerns)
	for i := range all {
		all[i] = Concern(i)
	}
	return all
}

// Warning is a fact about an adapter, or about what it does to its base, that keeps
// nobody from merging it and that may not be intended.
type Warning struct {
	Concern Concern `json:"-"`
	File    string  `json:"file,omitempty"`   // of the adapter's weights, "" when the reader of the warning knows
	Tensor  string  `json:"tensor,omitempty"` // or module: the first that it is about, "" when it is about none
	Text    string  `json:"message"`
}

// Warnf makes a warning.
func Warnf(about Concern, tensor, format string, args ...any) Warning {
	return Warning{Concern: about, Tensor: tensor, Text: fmt.Sprintf(format, args...)}
}

func (w Warning) String() string { return w.Text }

// MarshalText writes the warning as in reports.
func (w Warning) MarshalText() ([]byte, error) { return []byte(w.Text), nil }
