// Package peft reads adapters as PEFT saves them: an adapter_config.json and a
// weights file. It turns names and settings into a transform.Recipe and does no
// arithmetic beyond a scale.
//
// Keys say what is merged, the config says how. PEFT loads adapters leniently (what
// matches nothing is dropped); here every tensor of the file must have a meaning and
// every setting is used, known not to matter, or refused.
package peft
