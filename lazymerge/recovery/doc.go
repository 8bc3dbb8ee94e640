// Package recovery rebuilds adapters and models from checkpoints of training runs.
//
// The one idea: a checkpoint already holds every value that belongs in the adapter, in
// fp32 as the optimizer had it; what is missing is the choice of tensors, PEFT's names
// for them and the config. So Adapter reads those tensors and no others, in pieces, and
// writes what save_pretrained would have written.
//
// The config is found near the checkpoint, given, or for LoRA rebuilt from the shapes.
// The result is opened as an adapter before it gets its name; what does not pass is not
// kept. Inputs are never written to.
package recovery
