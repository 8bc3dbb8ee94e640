package training

import "fmt"

// Kind is one way to lose an adapter.
type Kind uint8

const (
	// Ungathered is ZeRO stage 3 without the setting that gathers the weights, under a
	// transformers that does not gather adapters by itself, or an unknown one.
	Ungathered Kind = iota
	// StageText is stage 3 written as a text: DeepSpeed takes it for 3, while accelerate
	// and transformers compare it with the number and save the partitioned weights.
	StageText
	// Auto is a stage or a gathering setting of "auto", which accelerate and transformers
	// replace by their defaults: stage 2, no gathering.
	Auto
	// Conflict is two settings of which only one can hold.
	Conflict
	// OldName is the gathering setting under its deprecated name.
	OldName
	// Sharded is an FSDP state dict that is saved in shards, without an adapter file.
	Sharded
	// OldWriter is a safetensors that writes an invalid header when there are no tensors.
	OldWriter
	// Unreadable is a file of settings that cannot be parsed, or names one that is not there.
	Unreadable
)

var kindNames = [...]string{
	"ungathered", "stage as text", "auto", "conflict", "old name", "sharded", "old writer", "unreadable",
}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", k)
}

// Risk is a setting that can leave the adapter without its values.
type Risk struct {
	Kind    Kind
	File    string // in which the setting stands
	Setting string // its name with those of the objects around it: "zero_optimization.stage"
	Value   string // as written; "" when it is not set
	Detail  string // what makes it a risk, a fact
}

// Message states the setting, its value and the fact.
func (r Risk) Message() string {
	switch {
	case r.Setting == "":
		return r.Detail
	case r.Value == "":
		return fmt.Sprintf("%s is not set: %s", r.Setting, r.Detail)
	}
	return fmt.Sprintf("%s is %s: %s", r.Setting, r.Value, r.Detail)
}
