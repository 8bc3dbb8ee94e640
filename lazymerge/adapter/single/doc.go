// Package single reads adapters that are one safetensors file without a config: those
// of sd-scripts (kohya), LyCORIS, diffusers, ComfyUI and XLabs. It turns names and
// shapes into a transform.Recipe and does no arithmetic beyond a scale.
//
// One file may mix the spellings of several programs, so every key is read on its own.
// What a module's tensors are tells its algorithm; every tensor must have a meaning.
// Where the programs' own merges differ from what they trained, the forward pass of
// the training counts.
package single
