// Package training reads the settings of a training run and states which of them will
// leave an adapter without its values.
//
// The one idea: under DeepSpeed ZeRO-3 and FSDP a process holds only a part of each
// weight, and whether the parts are gathered when the adapter is saved is decided by a
// few settings and by the versions of the libraries. Read finds the files that hold them
// (find.go), reads them as plain values (document.go,
// arguments.go), picks the settings out of them
// (settings.go) and the versions (packages.go), and judges all of a run together
// (judge.go). What to do about a Risk is not said here.
//
// Sources of the rules: accelerate 0.26 to 1.15 (DeepSpeedPlugin,
// FullyShardedDataParallelPlugin, Accelerator.get_state_dict), transformers 4.36 to 5.23
// (Trainer.save_model), DeepSpeed 0.19.8 (DeepSpeedZeroConfig), safetensors 0.3 to 0.8.
//
// Nothing is executed, and of a directory only a bounded number of small text files is
// read.
package training
