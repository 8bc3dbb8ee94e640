// Package check says what is wrong with adapters, libraries, training outputs, stacks and
// base models on disk, without mounting them.
//
// The one idea: a path leads to subjects (find.go), each an adapter, a model or a file of
// settings, and each subject is opened exactly as a mount would open it; its error and its
// warnings are findings of diagnose. So check and mount cannot disagree. Run looks at the
// subjects at the same time, a bounded number of them; Watcher looks at what a training run
// writes, once it is written.
//
// By default all values of adapters are read while they are small (ValuesBudget), and of
// models only headers; Options.Deep reads all.
package check
