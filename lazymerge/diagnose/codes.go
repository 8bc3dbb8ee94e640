package diagnose

// code is one kind of finding. In cause and fix, a name in braces stands for a
// value of the case at hand; see fill.
type code struct {
	name     string // stable: scripts compare it
	severity Severity
	title    string
	cause    string
	fix      string
}

// How to get weights back that a run under ZeRO-3 or FSDP did not gather.
const (
	fixUngathered = "Training must gather the weights when it saves. Under DeepSpeed ZeRO-3, set this in the DeepSpeed config and train on with resume_from_checkpoint (what DeepSpeed keeps in global_stepN is whole even where the adapter is not):\n" +
		"\t\"zero_optimization\": {\"stage\": 3, \"stage3_gather_16bit_weights_on_model_save\": true}\n" +
		"Where accelerate's own YAML has the settings of DeepSpeed, it is called zero3_save_16bit_model: true there. transformers 5.0 and later gather adapters by themselves. " +
		"Under FSDP, set fsdp_state_dict_type: FULL_STATE_DICT."
	fixDownload = "Fetch the file again, for a repository of the Hugging Face hub with:\n" +
		"\thf download ORG/NAME --force-download"
	fixCopyAgain = "Copy or fetch the file again and compare the sizes. When training wrote it, use an earlier checkpoint, or save again."
)

// codes is the table of findings, sorted by name. docs/findings.md is made from it.
var codes = []code{
	{
		name:  "adapter-is-base",
		title: "A base model stands where an adapter was expected",
		cause: "The directory has a config.json and model weights, and no adapter_config.json. BASE and ADAPTER may be in the wrong order, or training saved the whole model.",
		fix:   "Give the base first, then the adapter:\n\tlorafs mount BASE ADAPTER MOUNTPOINT",
	},
	{
		name:  "adapter-not-found",
		title: "There is no adapter at the path",
		cause: "An adapter is a PEFT directory with adapter_config.json and adapter_model.safetensors, or one .safetensors file of sd-scripts, LyCORIS, diffusers or ComfyUI; a library is a directory of adapters, one level deep; the output of a training run has checkpoint-N directories. The path is none of them.",
		fix:   "Name the directory that holds adapter_config.json, or the one file that is the adapter. check also judges the settings of a run, YAML and JSON of accelerate, DeepSpeed or a trainer (no Python), in the directory or in configs/ of it; name the file where they lie elsewhere.",
	},
	{
		name:     "adapter-untrained",
		severity: Warning,
		title:    "The adapter changes nothing",
		cause:    "Every change that the file holds is zero, mostly because lora_B still has its initial zeros: training never reached the adapter (no parameter required a gradient, gradient checkpointing without enable_input_require_grads, a learning rate of 0, a run that stopped before its first step), or lora_alpha is 0. The merged model is the base.",
		fix:      "Look at the loss and at model.print_trainable_parameters() of the run. Under gradient checkpointing, let the inputs require gradients before training:\n\tmodel.enable_input_require_grads()",
	},
	{
		name:     "alpha-absent",
		severity: Warning,
		title:    "Some modules of the file have no alpha",
		cause:    "sd-scripts and LyCORIS write an alpha for each module. For a module without one the scale is 1, as in the programs that read such files; tensors may have been filtered by name.",
		fix:      "Save the adapter again with the program that made it, unless the scale of 1 is meant.",
	},
	{
		name:     "alpha-zero",
		severity: Warning,
		title:    "An alpha in the file is 0",
		cause:    "Programs disagree on what that means: sd-scripts and LyCORIS read it as the rank, which is a scale of 1, as here; to diffusers and ComfyUI such a module changes nothing.",
		fix:      "Save the adapter again with the alpha that it was trained with.",
	},
	{
		name:  "base-config-broken",
		title: "The base's config.json cannot be read",
		cause: "The file is not the JSON object that transformers writes. It may be cut off, edited by hand, or the error page of a download.",
		fix:   "Fetch it again; it is a small text file:\n\thf download ORG/NAME config.json",
	},
	{
		name:  "base-converted-tensor",
		title: "The adapter was trained on weights that the base stores in another form",
		cause: "transformers builds this parameter while it loads the model, out of tensors that the checkpoint stores in another way. A low-rank change of joined, split, stacked and transposed tensors can be merged; one of rows in another order (rotary embeddings), and other kinds of change, cannot by this version.",
		fix:   "Merge this adapter with PEFT:\n\tpython -c \"from peft import AutoPeftModelForCausalLM as M; M.from_pretrained('ADAPTER').merge_and_unload().save_pretrained('OUT')\"",
	},
	{
		name:  "base-inconsistent",
		title: "The base's files contradict each other",
		cause: "The index and the shards of the base do not agree. This happens when files of two versions of a model stand in one directory, or when a download or a conversion was interrupted.",
		fix:   "Fetch the base again into an empty directory.",
	},
	{
		name:  "base-is-adapter",
		title: "An adapter stands where the base was expected",
		cause: "The path holds an adapter and no model. BASE comes first, ADAPTER second; verify takes the merged model last.",
		fix:   "Name the model that the adapter was trained on as the base; base_model_name_or_path in adapter_config.json is a hint:\n\tlorafs mount BASE {path} MOUNTPOINT",
	},
	{
		name:  "base-no-weights",
		title: "The base has no weights",
		cause: "The directory holds no safetensors file. In the hub cache this happens when only the config or the tokenizer was used so far.",
		fix:   "Fetch the whole repository, or name the directory that holds model.safetensors:\n\thf download ORG/NAME",
	},
	{
		name:     "base-nonfinite",
		severity: Warning,
		title:    "The base holds NaN or infinite values",
		cause:    "Weights of a trained model are finite; masks that are stored as buffers may not be. The conversion or the download of the model went wrong, or it diverged.",
		fix:      "Fetch the model again, and compare its files' hashes with the repository's.",
	},
	{
		name:  "base-one-shard",
		title: "The base is one shard of several",
		cause: "The file name says that the model is split over several files, and only one of them was found or named.",
		fix:   "Name the directory that holds all shards and model.safetensors.index.json.",
	},
	{
		name:  "base-other-format",
		title: "The base is not in safetensors",
		cause: "lorafs merges into safetensors. The path holds weights in another format only (torch .bin or .pt, GGUF, ONNX, TensorFlow, Flax).",
		fix:   "Name the safetensors form of the model if its repository has one, or convert the torch form:\n\tpython -c \"from transformers import AutoModelForCausalLM as M; M.from_pretrained('BASE', dtype='auto').save_pretrained('OUT')\"",
	},
	{
		name:  "base-quantized",
		title: "The base is quantised",
		cause: "Nothing can be added to weights that are packed into 4 or 8 bits. Adapters trained on a quantised base (QLoRA) are usually merged into the 16-bit model that it was made from.",
		fix:   "Name the unquantised model as the base.",
	},
	{
		name:  "base-several-files",
		title: "It is not clear which safetensors files are the base",
		cause: "The directory holds several safetensors files, none called model.safetensors, and no index that says which of them belong together.",
		fix:   "Name the one file that is the model, or bring the missing model.safetensors.index.json.",
	},
	{
		name:  "base-unmerged",
		title: "The base is a PEFT model that was saved un-merged",
		cause: "Its tensors have the names that PEFT gives while it trains (base_layer, lora_A.default): the training script saved the PEFT model whole. transformers finds no weights for the adapted layers in it and fills them at random.",
		fix:   "Take the adapter out, and mount it on the model that it was trained on:\n\tlorafs recover {path} OUT_DIR\n\tlorafs mount BASE OUT_DIR MOUNTPOINT",
	},
	{
		name:  "base-weights-below",
		title: "The base's weights stand in sub-directories",
		cause: "The directory itself holds no weights, and no model_index.json that would make it a diffusers pipeline.",
		fix:   "Name the sub-directory that is the model.",
	},
	{
		name:  "bias-unmatched",
		title: "The base has no biases to add those of lora_bias to",
		cause: "lora_bias trains a bias beside lora_B, and the layers of the base have none. PEFT runs such an adapter beside the base, and refuses to merge it. If the model that was trained has biases, this is another one.",
		fix:   "Serve the adapter beside the base with PEFT, or train without lora_bias. To merge the weights without their biases, which is not what was trained:\n\tlorafs mount --allow-unused BASE ADAPTER MOUNTPOINT",
	},
	{
		name:  "checkpoint-alpha-differs",
		title: "--alpha is not the lora_alpha of adapter_config.json",
		cause: "The config that was found or named says what lora_alpha was, and --alpha says otherwise. --alpha is for a config that has to be rebuilt.",
		fix:   "Leave --alpha out to take the config's:\n\tlorafs recover {path} OUT_DIR\nIf the config is that of another run, name the right one:\n\tlorafs recover --config adapter_config.json {path} OUT_DIR",
	},
	{
		name:  "checkpoint-alpha-missing",
		title: "lora_alpha has to be said",
		cause: "The checkpoint has no adapter_config.json near it. Rank and modules of a LoRA adapter are in its tensors, but lora_alpha, which scales them, is in none.",
		fix:   "Say what the training script gave as lora_alpha, or name a config of the same run:\n\tlorafs recover --alpha 32 {path} OUT_DIR\n\tlorafs recover --config adapter_config.json {path} OUT_DIR",
	},
	{
		name:  "checkpoint-config-missing",
		title: "There is no adapter_config.json, and none can be rebuilt",
		cause: "Weights alone do not say what they mean. For LoRA the config can be rebuilt from the shapes; this adapter is of another type or has settings that the tensors do not tell.",
		fix:   "Name the adapter_config.json of the run, from another checkpoint or from the training script (peft_config.save_pretrained('DIR')):\n\tlorafs recover --config adapter_config.json {path} OUT_DIR",
	},
	{
		name:  "checkpoint-damaged",
		title: "A file of the checkpoint contradicts itself or the others",
		cause: "The file was cut off or overwritten, a process was killed while it saved, or it is of a version whose layout is not known. Values that cannot be proved to be in their places are not written.",
		fix:   "Copy the checkpoint again from where it was trained and compare sizes, or take an earlier checkpoint. When only optimizer states are damaged, ZeRO stages 1 and 2 have the values in 16 bits as well:\n\tlorafs recover --dtype saved {dir} OUT_DIR",
	},
	{
		name:  "checkpoint-latest",
		title: "The file latest names a checkpoint that is not there",
		cause: "DeepSpeed writes the name of the newest step's directory into the file latest. That directory was removed, renamed or not copied.",
		fix:   "Copy the directory as well, or name the one of a step that is there:\n\tlorafs recover {path} OUT_DIR",
	},
	{
		name:  "checkpoint-mixed",
		title: "Files of different savings stand in one checkpoint",
		cause: "The files of the ranks disagree on what they must have in common. Checkpoints of two runs, two steps or two numbers of processes were written or copied into one directory.",
		fix:   "Copy the checkpoint again from where it was trained, into an empty directory. When a run with fewer processes overwrote one with more, remove the files that are older than the others.",
	},
	{
		name:  "checkpoint-no-adapter",
		title: "A checkpoint holds no adapter",
		cause: "The checkpoint has neither an adapter nor a model in safetensors: the run saved its state alone (DeepSpeed's or FSDP's shards), or it was stopped while it saved.",
		fix:   "See that the run calls save_pretrained or save_model of the PEFT model. What other checkpoints of the run hold is told by:\n\tlorafs check {dir}",
	},
	{
		name:  "checkpoint-no-tensors",
		title: "The checkpoint holds no tensors of an adapter",
		cause: "Its parameters do not have the names that PEFT gives, or are placeholders without values. The model was trained whole, or this file is not the one that holds the trained values.",
		fix:   "Name the checkpoint's directory rather than one file of it. A model that was trained whole is written with:\n\tlorafs recover --full {path} OUT_DIR",
	},
	{
		name:  "checkpoint-not-found",
		title: "There is no checkpoint at the path",
		cause: "A checkpoint is a directory checkpoint-N or global_stepN of DeepSpeed, a directory with .metadata and .distcp files of FSDP, or a file pytorch_model.bin, pytorch_model_fsdp.bin or model.safetensors of a model in training. The path holds none of them.",
		fix:   "Name the directory that holds the files *_optim_states.pt, .metadata or the .bin file.",
	},
	{
		name:  "checkpoint-ranks-missing",
		title: "Files of the checkpoint are missing",
		cause: "Every process of the training writes its part, on its own machine where the disk is not shared. Some parts are not here, or there are more than there were processes.",
		fix:   "Copy the missing files from the other machines into this directory.\nZeRO stages 1 and 2 have the trained values in 16 bits in one file, which is enough for:\n\tlorafs recover --dtype saved {path} OUT_DIR",
	},
	{
		name:  "checkpoint-several-adapters",
		title: "A checkpoint holds several adapters",
		cause: "Training used several named adapters (a policy and a reference, for example), and PEFT saved each in a sub-directory of its own. Which one is meant cannot be told.",
		fix:   "Name the sub-directory that is meant, as checkpoint-500/policy.",
	},
	{
		name:  "checkpoint-several-names",
		title: "The checkpoint holds several adapters",
		cause: "The model had several adapters (a policy and a reference, for example), whose tensors would get the same names.",
		fix:   "Say which one is meant, by its name in the model:\n\tlorafs recover --adapter default {path} OUT_DIR",
	},
	{
		name:  "checkpoint-unfit",
		title: "What the checkpoint holds is no sound adapter",
		cause: "The tensors were put together, but with this adapter_config.json they make no adapter that PEFT would load: the config is of another run, or the values are not finite.",
		fix:   "Name the config of the same run. Where values are not finite, take an earlier checkpoint.\n\tlorafs recover --config adapter_config.json {path} OUT_DIR",
	},
	{
		name:  "checkpoint-unsupported",
		title: "Checkpoints of this kind are not put together",
		cause: "The model was split over processes in a way whose parts this version does not join: tensor parallelism, experts with ranks of their own, FSDP's LOCAL_STATE_DICT, or a file a rank without a description.",
		fix:   "Let the training script load the checkpoint and save it gathered: for FSDP with fsdp_state_dict_type: FULL_STATE_DICT, for DeepSpeed with stage3_gather_16bit_weights_on_model_save, or with DeepSpeed's ds_to_universal.py, whose result is read.",
	},
	{
		name:  "component-missing",
		title: "The base has no component that modules of the adapter are for",
		cause: "An adapter of a diffusion model may change several components of a pipeline, the denoiser (UNet, transformer) and the text encoders, and says in its keys which it means. The base is one component alone, or a pipeline or a checkpoint without that one: with fewer text encoders, as of another family.",
		fix:   "Name the whole pipeline as the base, the directory with model_index.json, or a checkpoint that holds the text encoders too. To merge the rest of the adapter without them:\n\tlorafs mount --allow-unused BASE ADAPTER MOUNTPOINT",
	},
	{
		name:  "config-broken",
		title: "adapter_config.json cannot be read",
		cause: "The file is not the JSON object that PEFT writes. It may be cut off, edited by hand, or the error page of a download.",
		fix:   "Copy adapter_config.json from another checkpoint of the same run, or write it again with model.peft_config['default'].save_pretrained('DIR').",
	},
	{
		name:  "config-field",
		title: "A field of adapter_config.json has a value that cannot be honoured",
		cause: "The value is not one that PEFT writes for this field, or the field is of a newer version of PEFT than this version of lorafs knows. A field that is ignored could change the merge, so it is refused.",
		fix:   "Correct the value. If the field has no effect on the weights, remove it from a copy of adapter_config.json.",
	},
	{
		name:  "config-missing",
		title: "adapter_config.json is missing",
		cause: "Weights alone do not say how they are scaled: rank, alpha and their patterns are in adapter_config.json, which PEFT writes after the weights. Only a part was copied, or the run was stopped while it saved.",
		fix:   "Copy adapter_config.json from another checkpoint of the same run, or write it again with model.peft_config['default'].save_pretrained('DIR').",
	},
	{
		name:  "convolution-grouped",
		title: "The factors are those of a convolution in groups",
		cause: "The layer is a convolution whose outputs each see a group of the inputs alone (a depthwise one, as conv_depth of Sana). The adapter's factors reach all inputs, so that what they add has no place in the layer's kernel: PEFT warns of it in training, and refuses to merge. Should the layer have no groups after all, its two factors are of different adapters.",
		fix:   "Load the adapter with PEFT beside the base, without merging, or train it without these layers (exclude_modules). Factors of different adapters are to be saved again by the program that made them.",
	},
	{
		name:  "disk-full",
		title: "No space left",
		cause: "The disk that is written to is full, or a quota is used up.",
		fix:   "Free some space, or name a directory on another disk.",
	},
	{
		name:  "draw-impossible",
		title: "What the adapter did not save cannot be drawn again",
		cause: "The adapter was saved without its random projections or indices. Those are drawn from a seed in the size or the order of the model's modules, and this base does not tell them: its class is not one of transformers', or has no such modules.",
		fix:   "Check that config.json of the base names its class. Otherwise load the adapter in PEFT once and save it with save_projection=True (UniLoRA: save_indices=True).",
	},
	{
		name:  "dtype-unsupported",
		title: "An element type cannot be merged",
		cause: "Merging works on BF16, F16, F32 and F64 weights. Integer and 8-bit types are mostly quantised weights, whose values mean something only together with their scales.",
		fix:   "Name the unquantised model as the base. If the adapter holds the tensor, save the adapter again in BF16, F16 or F32.",
	},
	{
		name:  "error",
		title: "An error without a diagnosis",
		cause: "The error is not about the form of an input, or it is one that this version does not explain.",
		fix:   "Read the message; report it when it makes no sense.",
	},
	{
		name:  "experts-mismatch",
		title: "The adapter is for another number of experts than the base has",
		cause: "The factors of a stack of experts hold the same rank for each expert. Their size is not a multiple of the base's number of experts, or an expert is named that the base does not have. The adapter was trained on another model of the family, or on a pruned one.",
		fix:   "Use the base that the adapter was trained on; base_model_name_or_path in adapter_config.json is a hint.",
	},
	{
		name:     "experts-order",
		severity: Warning,
		title:    "The order of the experts' columns is a guess",
		cause:    "The adapter looks made by unsloth, which until September 2026 sorted the columns of lora_B by expert. Nothing in the file tells the two orders apart.",
		fix:      "Compare the merged model's answers with those in training. When it talks nonsense:\n\tlorafs mount --experts grouped BASE ADAPTER MOUNTPOINT",
	},
	{
		name:  "experts-orientation",
		title: "The factors of an expert fit both ways round",
		cause: "The experts' matrices are square, and releases of PEFT differ in which factor is for the inputs. Other tensors of the file tell, or the peft_version in adapter_config.json together with an architecture that this version knows; here neither does.",
		fix:   "Put the release of PEFT that trained the adapter into adapter_config.json:\n\t\"peft_version\": \"0.19.1\"",
	},
	{
		name:  "file-kind",
		title: "Something other than a regular file",
		cause: "A directory, FIFO, socket or device stands where a file was expected. Such things are never opened: reading them could wait for ever.",
		fix:   "Put the file itself there, or name another path.",
	},
	{
		name:  "file-missing",
		title: "A file is missing",
		cause: "The path does not exist, something in it is no directory or a link that leads nowhere or in a circle, or it was removed while it was in use.",
		fix:   "Check the spelling of the path, and that its disk is mounted.",
	},
	{
		name:  "file-unreadable",
		title: "A file cannot be read",
		cause: "The disk or the network file system answered with an error, or the process that serves a FUSE file system has died.",
		fix:   "Look at the system's log (dmesg) for errors of the disk, and copy the file to another one.",
	},
	{
		name:  "format-unsupported",
		title: "The adapter is in a format that is not read yet",
		cause: "It is a TorchScript program, a file of torch before 0.4, or has elements of a type that safetensors does not know (complex128, quantised).",
		fix:   "Save it again as safetensors, with the program that made it.",
	},
	{
		name:  "index-broken",
		title: "The shard index cannot be read",
		cause: "model.safetensors.index.json is not the JSON that says in which file each tensor is. It may be cut off or the error page of a download.",
		fix:   "Fetch the index again; it is a small text file.",
	},
	{
		name:  "index-leaves",
		title: "The index names a file that it must not name",
		cause: "The files of a model must be safetensors files in the model's directory or below it. An absolute path or ../ would show a file that nobody named, so it is refused.",
		fix:   "Correct the name in the index; if the model is not your own, do not trust it.",
	},
	{
		name:  "init-changes-base",
		title: "Loading the adapter would change the base first",
		cause: "With this init_lora_weights, training or loading changes the base's weights first, in a way that the adapter does not tell, so a merge into the plain base would be wrong. (\"pissa\" and \"olora\" can be repeated, and are merged.)",
		fix:   "Convert the adapter to a plain LoRA where it was trained, from the model before and after training:\n\tmodel.save_pretrained('OUT', path_initial_model_for_weight_conversion='INITIAL_ADAPTER')",
	},
	{
		name:  "input-changed",
		title: "An input changed while it was in use",
		cause: "A weights file was truncated, rewritten or replaced in place after it was opened. The bytes that its header describes are gone; no wrong bytes were given out.",
		fix:   "Unmount, let the writer finish, and mount again. Writers should write a new file and rename it over the old one.",
	},
	{
		name:  "interrupted",
		title: "The work was interrupted",
		cause: "It was cancelled by a signal, or it ran out of the time it was given.",
		fix:   "Start it again.",
	},
	{
		name:  "layer-unsupported",
		title: "The adapter's method is not defined for this kind of layer",
		cause: "The adapter edits a layer in a way that PEFT does not define for it.",
		fix:   "Check that base and adapter belong together.",
	},
	{
		name:  "layers-replicated-wrongly",
		title: "layer_replication does not fit the base",
		cause: "layer_replication in adapter_config.json builds a deeper model out of ranges of the base's layers, and those ranges are not in this base.",
		fix:   "Name the base that the adapter was trained on.",
	},
	{
		name:  "limit",
		title: "An input is larger than anything that is a model",
		cause: "A directory has more files or levels than any published model, or a text file is of the size of weights. The path may be one above the model.",
		fix:   "Name the model's own directory.",
	},
	{
		name:  "link-leaves",
		title: "A symbolic link leaves the directory",
		cause: "Links are followed inside the named directory and into the blobs of a Hugging Face cache. A link to elsewhere could show a file that nobody named, so it is not followed.",
		fix:   "Name the directory that the link points into, or replace the link by what it points to:\n\trm {link} && cp -r {target} {link}",
	},
	{
		name:     "magnitude-absent",
		severity: Warning,
		title:    "Only some modules of the file are DoRA",
		cause:    "A file is mostly DoRA as a whole. Modules without a magnitude are merged as plain LoRA; the tensors may have been filtered by name.",
		fix:      "Save the adapter again with the program that made it, unless training left those modules out.",
	},
	{
		name:  "metadata-field",
		title: "The settings in the adapter's header cannot be honoured",
		cause: "diffusers writes the settings of an adapter into the header of its file (lora_adapter_metadata). They are damaged, or change the merge in a way that this version does not know.",
		fix:   "Save the adapter again with diffusers. A file without these settings is read as well: its scale is then alpha divided by the rank where it has an alpha, else 1.",
	},
	{
		name:     "modules-lost",
		severity: Warning,
		title:    "Modules that were meant to be trained have no tensors",
		cause:    "target_modules means these modules and the base has them; their like in other layers, or what stands beside them, has tensors in the file, or the config names them alone. The file may have lost them; or the model in memory had no such layer (those that predict further tokens, keys and values that layers share, a head of another class).",
		fix:      "Compare with another checkpoint of the run:\n\tlorafs check --base BASE CHECKPOINT",
	},
	{
		name:     "modules-untrained",
		severity: Warning,
		title:    "Some modules of the adapter change nothing",
		cause:    "Their change is zero: no gradient reached them. That is usual for experts which no token of the training was sent to, and for layers that were frozen.",
		fix:      "Nothing is to be done when those modules were not meant to be trained.",
	},
	{
		name:  "name-collision",
		title: "Two adapters would have the same name",
		cause: "Each adapter becomes a sub-directory called after the last part of its path, or after its id.",
		fix:   "Name one of them:\n\tlorafs mount BASE NAME={second} {first} MOUNTPOINT",
	},
	{
		name:  "name-invalid",
		title: "A name that no sub-directory can have",
		cause: "The name before = becomes a sub-directory of the mount: it must not be empty, contain a slash or a control character, begin with a dot, or end in .INVALID. A library keeps the names of its entries.",
		fix:   "Choose another name:\n\tlorafs mount BASE NAME=ADAPTER MOUNTPOINT",
	},
	{
		name:     "names-foreign",
		severity: Warning,
		title:    "The tensors have names that PEFT does not load",
		cause:    "The state dict was saved as it stands in a wrapped model (torch.compile's _orig_mod, FSDP's _fsdp_wrapped_module, module), or without PEFT's prefix base_model.model, or with it twice. lorafs knows what is meant; PEFT and most servers pass over such tensors, and then serve the base model without an error.",
		fix:      "Save the adapter with PEFT, from the unwrapped model:\n\taccelerator.unwrap_model(model).save_pretrained('OUT')",
	},
	{
		name:     "names-with-adapter",
		severity: Warning,
		title:    "The adapter's name was left in the names of its tensors",
		cause:    "The file holds a state dict as it is in memory (lora_A.default.weight). save_pretrained of PEFT takes the name out. lorafs reads such names; PEFT does only when it loads the adapter under that very name, else it gives the base model with a warning, and vLLM refuses them.",
		fix:      "Save the adapter with PEFT, or load it once under its name and save it:\n\tpython -c \"from peft import AutoPeftModelForCausalLM as M; M.from_pretrained('ADAPTER', adapter_name='default').save_pretrained('OUT')\"",
	},
	{
		name:  "not-found",
		title: "The name is neither a path nor in the local hub cache",
		cause: "Nothing stands at the path. Ids as ORG/NAME are looked up in the local Hugging Face cache only (HF_HUB_CACHE, HF_HOME); lorafs downloads nothing.",
		fix:   "Check the spelling, or download it first:\n\thf download {ref}",
	},
	{
		name:  "output-denied",
		title: "The output cannot be written",
		cause: "The user who runs lorafs may not write to the directory, or its disk is read-only.",
		fix:   "Name a directory that you may write to.",
	},
	{
		name:  "output-exists",
		title: "The output is there already",
		cause: "lorafs never writes over files.",
		fix:   "Name a directory that does not exist, or empty this one.",
	},
	{
		name:  "output-in-input",
		title: "The output lies in an input",
		cause: "Nothing is written to a base or an adapter: their directories stay as they are.",
		fix:   "Name a directory outside of both.",
	},
	{
		name:  "output-parent",
		title: "There is no directory to put the output in",
		cause: "The directory above the output does not exist or is a file. It is not made, since with a mistyped path it would be in the wrong place.",
		fix:   "Name another place for the output, or make the directory:\n\tmkdir -p {dir}",
	},
	{
		name:  "overflow",
		title: "A merged value does not fit the base's element type",
		cause: "Base plus adapter is beyond the range of the type, so the merged weight would be infinite. F16 ends at 65504; an adapter trained in BF16 or F32 can exceed it.",
		fix:   "Use the BF16 or F32 form of the base, or accept infinite weights:\n\tlorafs mount --allow-nonfinite BASE ADAPTER MOUNTPOINT",
	},
	{
		name:     "parameters-unlisted",
		severity: Warning,
		title:    "The adapter replaces parameters that its config does not list",
		cause:    "Beside the adapter's own tensors the file holds whole parameters of the model, which replace the base's. modules_to_save does not list them: the state dict of the whole model was saved, or the parameters were trained by hand.",
		fix:      "When the parameters are the base's own, nothing changes but the size of the file. To have a file without them, save the adapter with PEFT:\n\tmodel.save_pretrained('OUT')",
	},
	{
		name:     "part-unnamed",
		severity: Warning,
		title:    "One of two parts of the pipeline stays as it is",
		cause:    "The pipeline has two denoisers, and the keys of the adapter do not say which they mean. The first is taken, as diffusers does.",
		fix:      "When the adapter is for the second, name that part as the base, as BASE/transformer_2.",
	},
	{
		name:  "permission-denied",
		title: "Permission denied",
		cause: "The user who runs lorafs may not read the path.",
		fix:   "Give that user the right to read it, or run lorafs as its owner:\n\tchmod -R u+rX {path}",
	},
	{
		name:  "pipeline-ambiguous",
		title: "The adapter fits several parts of the pipeline",
		cause: "The base is a diffusers pipeline, and the adapter's names do not say which of its parts they mean.",
		fix:   "Name the part as the base, as BASE/unet or BASE/text_encoder.",
	},
	{
		name:  "rank-mismatch",
		title: "The rank in the settings is not that of the weights",
		cause: "r or rank_pattern, in adapter_config.json or in the settings that diffusers keeps in the file's header, says another rank than the tensors have, so the scale would be wrong too. Settings and weights may come from different runs or checkpoints, or a program transposed the tensors.",
		fix:   "Copy adapter_config.json from the run that wrote the weights. A single file is to be saved again by the program that made it.",
	},
	{
		name:  "revision-missing",
		title: "The revision is not in the local hub cache",
		cause: "The repository is cached, but not at this revision: it was never downloaded, or only in part.",
		fix:   "Name a revision that is cached ({revisions}), or download this one:\n\thf download {ref} --revision {revision}",
	},
	{
		name:  "row-out-of-range",
		title: "The adapter has a trained token that the base's vocabulary lacks",
		cause: "A token number in trainable_token_indices is beyond the rows of the base's embedding. The vocabulary was enlarged before training, or the base is another model.",
		fix:   "Name the base that the adapter was trained on, with its enlarged vocabulary.",
	},
	{
		name:     "saved-module-absent",
		severity: Warning,
		title:    "A module that was trained whole has no tensor in the file",
		cause:    "modules_to_save of adapter_config.json lists it, and the weights hold nothing of it. For a head that the task adds by itself that is usual; else training lost it when it saved.",
		fix:      "Compare with another checkpoint of the run, or save again.",
	},
	{
		name:     "scale-unknown",
		severity: Warning,
		title:    "The scale of the adapter is not known",
		cause:    "The file has the names of a PEFT adapter and stands without the adapter_config.json that says rank and alpha. A scale of 1 is assumed, which is right only where alpha equals the rank.",
		fix:      "Put adapter_config.json beside the file, call the file adapter_model.safetensors, and name the directory.",
	},
	{
		name:  "shape-mismatch",
		title: "The adapter's shapes do not fit the base",
		cause: "A tensor of the adapter has another size than the base's tensor asks for. The adapter was trained on another model, often another size of the same family, or on a base with a resized vocabulary.",
		fix:   "Name the base that the adapter was trained on; base_model_name_or_path in adapter_config.json is a hint, as is ss_base_model_version in a single file's header.",
	},
	{
		name:  "shards-missing",
		title: "Shards of the base are missing",
		cause: "The index names files that are not in the directory. A download was interrupted, or only some files were copied.",
		fix:   "Fetch the missing files:\n\thf download ORG/NAME",
	},
	{
		name:  "stack-combine",
		title: "Adapters of a stack cannot be combined in this way",
		cause: "PEFT's add_weighted_adapter, which --combine follows, combines the factors A and B of LoRA adapters of equal types, mostly of equal ranks, and the vectors of IA3 by linear. Whatever else an adapter holds it refuses, or loses without a word.",
		fix:   "Leave --combine out: what the adapters add is then added exactly, whatever their ranks. Among the types, cat, svd and those that end in _svd take unequal ranks.",
	},
	{
		name:  "stack-conflict",
		title: "Two adapters of a stack exclude each other",
		cause: "Both put a whole tensor in the same place (modules_to_save, a resized vocabulary), or number layers differently (layer_replication), and only one of them can hold.",
		fix:   "Leave one of the two out, or mount them side by side:\n\tlorafs mount BASE ADAPTER ADAPTER MOUNTPOINT",
	},
	{
		name:  "stack-invalid",
		title: "A stack of adapters is written wrongly",
		cause: "A stack is A@0.7+B@0.3: single adapters with plus signs between them and weights behind @, 1 where none stands. Paths may hold both signs: parts are read from the left, each as long as a path that exists.",
		fix:   "Correct the part that the message names. A path with + or @ that is not meant as a stack has to exist as written.",
	},
	{
		name:     "stack-replaced",
		severity: Warning,
		title:    "What one adapter of the stack adds is lost",
		cause:    "A later adapter of the stack replaces a whole tensor (modules_to_save, a vocabulary) that an earlier one adds to.",
		fix:      "Put the adapter that replaces first:\n\tlorafs mount BASE SECOND+FIRST MOUNTPOINT",
	},
	{
		name:     "stack-tokenizers",
		severity: Warning,
		title:    "The adapters of the stack bring different tokenizers",
		cause:    "A model has one tokenizer and one set of generation settings: those of the last adapter that brings any are shown.",
		fix:      "Put the adapter whose tokenizer is meant last.",
	},
	{
		name:  "stack-weight",
		title: "An adapter of a stack cannot be weighted",
		cause: "A weight multiplies what an adapter adds. This one holds something else as well: values that replace the base's (modules_to_save, biases, trained tokens), factors for the weights (IA3), rotations of them (OFT and its kin), or their lengths (DoRA), of which a multiple is not defined.",
		fix:   "Give the adapter no weight. Adapters of type IA3 have a weighted sum, by --combine linear.",
	},
	{
		name:     "targets-missed",
		severity: Warning,
		title:    "target_modules does not mean modules that have tensors, or other settings leave them out",
		cause:    "PEFT would make no adapter for these modules and drop their tensors. Module names change between versions of transformers, and adapter_config.json may be of another run.",
		fix:      "Compare adapter_config.json with that of another checkpoint of the run.",
	},
	{
		name:     "targets-unreadable",
		severity: Warning,
		title:    "target_modules cannot be compared with the file",
		cause:    "The pattern uses something of Python's regular expressions that cannot be followed here, so it is not known whether it means the modules that have tensors.",
		fix:      "Nothing is to be done when PEFT loads the adapter without a word.",
	},
	{
		name:  "tensor-ambiguous",
		title: "Tensors of the adapter fit several tensors of the base",
		cause: "The names in the adapter are those of another class than the base's, and more than one tensor of the base ends like them.",
		fix:   "Name the base that the adapter was trained on.",
	},
	{
		name:  "tensor-collision",
		title: "Two modules of the adapter mean one tensor of the base",
		cause: "The adapter has tensors under two names for the same module, with and without a wrapper's prefix for example; merging both would apply the edit twice.",
		fix:   "Save the adapter again from one model, without renaming.",
	},
	{
		name:  "tensor-counterpart-missing",
		title: "Tensors of the adapter lack their counterpart",
		cause: "An adapter has several tensors for a module, LoRA for example lora_A and lora_B. One of them is missing: tensors were filtered by name, or the file was put together by hand.",
		fix:   "Save the adapter again with the program that made it (PEFT: save_pretrained).",
	},
	{
		name:  "tensor-duplicate",
		title: "Two tensors of the adapter mean the same parameter and differ",
		cause: "The file holds a parameter under two names, with and without a wrapper's prefix or an adapter's name, with different values, or changes it in two ways. It was probably put together from two checkpoints.",
		fix:   "Save the adapter again with the program that made it.",
	},
	{
		name:  "tensor-like-missing",
		title: "A module lacks a tensor that its like in another block has",
		cause: "In one file, modules whose names differ by numbers alone, mostly that of a block, have the same tensors as a rule: an alpha, a magnitude, a bias. One of them lacks what another has, so it would be merged at another scale or without a part: tensors were filtered by name, or the file was put together by hand. Or the model's modules differ in just that (one has a bias and the other none), and nothing is missing.",
		fix:   "Save the adapter again with the program that made it. When the module never had the tensor, or to merge it without:\n\tlorafs mount --allow-missing BASE ADAPTER MOUNTPOINT",
	},
	{
		name:  "tensor-lost",
		title: "The adapter has lost all that it held of a module",
		cause: "adapter_config.json gives the module an adapter, or has it trained as a whole; the base has the module, and the rest of the file shows that the model had it in training. Yet the file holds nothing of it: a shard, or a layer of a pipeline, was not gathered when it was saved, tensors were filtered by name, or the base is another one with more layers.",
		fix:   "Save the adapter again with the program that made it (PEFT: save_pretrained), from an earlier checkpoint if need be. If the module was left out on purpose, say so in adapter_config.json (exclude_modules, layers_to_transform), or:\n\tlorafs mount --allow-missing BASE ADAPTER MOUNTPOINT",
	},
	{
		name:  "tensor-nonfinite",
		title: "The adapter holds NaN or infinite values",
		cause: "Training diverged: too high a learning rate, F16 without loss scaling, or a broken GPU. Or the bytes are not those of such numbers: the file was damaged, or its header names another dtype. Merged weights would be NaN as well.",
		fix:   "Use a checkpoint from before the divergence, or fetch the file again. To mount it all the same:\n\tlorafs mount --allow-nonfinite BASE ADAPTER MOUNTPOINT",
	},
	{
		name:  "tensor-unknown",
		title: "The adapter holds tensors that mean nothing to its type",
		cause: "The names are not those that PEFT, or in a single file sd-scripts, LyCORIS or diffusers, write for this type of adapter. The file may be a whole model, or come from another trainer or a newer version. Leaving them out could lose a part of the training.",
		fix:   "Save the adapter again with the program that made it (PEFT: save_pretrained). If the tensors are of no use:\n\tlorafs mount --allow-unused BASE ADAPTER MOUNTPOINT",
	},
	{
		name:  "tensor-unmatched",
		title: "The base has no tensors for modules of the adapter",
		cause: "The adapter was trained on another model, or on the same model in another class (a vision-language model instead of its text part), whose modules have other names.",
		fix:   "Name the base that the adapter was trained on; base_model_name_or_path in adapter_config.json is a hint, as is ss_base_model_version in a single file's header. To merge the rest without them:\n\tlorafs mount --allow-unused BASE ADAPTER MOUNTPOINT",
	},
	{
		name:  "tensor-value",
		title: "A tensor does not hold the number that its name promises",
		cause: "A scale such as alpha is one number. The file was written by a program that means something else by the name, or it was damaged.",
		fix:   "Get the adapter again, or save it again with the program that made it.",
	},
	{
		name:  "tensors-contradict",
		title: "Tensors of one module contradict each other",
		cause: "The tensors that change a module are factors of one product, so the sizes of one follow from the other: lora_A and lora_B (lora_down and lora_up) have the same rank, the first in its rows, the second in its columns. Here they do not, and no base makes that right: the file was put together from two adapters or checkpoints, a program transposed or resized some tensors, or the file was damaged.",
		fix:   "Save the adapter again with the program that made it, or fetch the file again. A program that converts, merges or resizes adapters has to change both factors of a module.",
	},
	{
		name:     "tie-kept",
		severity: Warning,
		title:    "Readers differ on how they tie the embeddings of the merged model",
		cause:    "The adapter makes the embedding and the head differ, and the architecture needs tie_word_embeddings to stay true. transformers 5 and later load both tensors, earlier ones and other programs tie them.",
		fix:      "Load the merged model with transformers 5 or later.",
	},
	{
		name:     "training-fsdp-sharded",
		severity: Warning,
		title:    "FSDP will save shards and no adapter",
		cause:    "With a sharded or local state dict, transformers' Trainer writes no adapter_model.safetensors, only each process's part (pytorch_model_fsdp_0/). The adapter has to be put together from the parts afterwards.",
		fix: "Gather the weights when they are saved; for an adapter that is small. In accelerate's YAML, or in fsdp_config of the trainer's settings:\n" +
			"\tfsdp_state_dict_type: FULL_STATE_DICT\n" +
			"axolotl can keep sharded checkpoints and gather at the end, with final_state_dict_type: FULL_STATE_DICT in fsdp_config. " +
			"With version 2, the Trainer of transformers 5.0 to 5.9 does not pass fsdp_config's type on: use accelerate launch with its YAML, or transformers 5.10 or later. " +
			"In a script of your own, before the last save:\n" +
			"\ttrainer.accelerator.state.fsdp_plugin.set_state_dict_type('FULL_STATE_DICT')",
	},
	{
		name:     "training-safetensors-old",
		severity: Warning,
		title:    "safetensors is older than 0.4.4",
		cause:    "The run keeps weights in parts. When a save goes wrong and nothing was gathered, safetensors before 0.4.4 writes a file of 48 bytes whose header is invalid, and every reader answers with InvalidHeaderDeserialization (\"invalid JSON in header\").",
		fix:      "Install a newer one:\n\tpip install 'safetensors>=0.4.4'",
	},
	{
		name:     "training-setting-auto",
		severity: Warning,
		title:    "A setting that decides how weights are saved is auto",
		cause:    "transformers and accelerate replace auto in the DeepSpeed config by values of their own. For the stage that is 2, and for gathering it is false, unless the environment says otherwise; DeepSpeed by itself does not know the word.",
		fix: "Write the values that are meant into the DeepSpeed config:\n" +
			"\t\"zero_optimization\": {\"stage\": 3, \"stage3_gather_16bit_weights_on_model_save\": true}",
	},
	{
		name:     "training-setting-renamed",
		severity: Warning,
		title:    "The setting that gathers weights has its old name",
		cause:    "stage3_gather_fp16_weights_on_model_save is deprecated. DeepSpeed 0.19 still takes it and logs a warning; whatever else reads the config, accelerate among them, knows the new name only.",
		fix:      "Rename it in the DeepSpeed config:\n\t\"stage3_gather_16bit_weights_on_model_save\": true",
	},
	{
		name:     "training-settings-conflict",
		severity: Warning,
		title:    "Settings of the run contradict each other",
		cause:    "The ZeRO stage, or whether weights are gathered, is set in accelerate's YAML and in the DeepSpeed config. accelerate launch refuses to start with both; a run that is started otherwise does not read accelerate's YAML at all.",
		fix: "Keep them in one place. In accelerate's YAML, leave of deepspeed_config only:\n" +
			"\tdeepspeed_config_file: ds_config.json\n" +
			"\tzero3_init_flag: true\n" +
			"and set the rest in the DeepSpeed config:\n" +
			"\t\"zero_optimization\": {\"stage\": 3, \"stage3_gather_16bit_weights_on_model_save\": true}",
	},
	{
		name:     "training-settings-unreadable",
		severity: Warning,
		title:    "Settings of the run cannot be read",
		cause:    "The file is no JSON or YAML mapping (a typing mistake, or it was cut off), or it names a DeepSpeed config that is not here. What is said about saving is not known.",
		fix:      "Correct it, or check the directory that holds the file it names. For JSON, Python names the place of a mistake:\n\tpython -m json.tool {file}",
	},
	{
		name:     "training-stage-text",
		severity: Warning,
		title:    "The ZeRO stage is a text where a number is meant",
		cause:    "DeepSpeed takes \"3\" for 3 and splits the weights. accelerate and transformers compare it with the number, so they take the run for another stage and save what the process holds: tensors of shape [0].",
		fix:      "Take the quotes away in the DeepSpeed config:\n\t\"stage\": 3",
	},
	{
		name:     "training-zero3-ungathered",
		severity: Warning,
		title:    "Under ZeRO-3 the adapter will be saved empty",
		cause:    "With stage 3 each process holds only a part of the weights. When they are not gathered, the Trainer of transformers before 5.0 writes an adapter_model.safetensors without tensors (40 bytes); the values are in DeepSpeed's checkpoint only. transformers 5.0 and later gather adapters by themselves.",
		fix: "Set this in the DeepSpeed config:\n" +
			"\t\"zero_optimization\": {\"stage\": 3, \"stage3_gather_16bit_weights_on_model_save\": true}\n" +
			"Where accelerate's YAML has the settings itself and names no deepspeed_config_file, it is under deepspeed_config:\n" +
			"\tzero3_save_16bit_model: true\n" +
			"Or install a transformers that gathers adapters, and list it with the other packages of the run:\n" +
			"\tpip install 'transformers>=5.0'",
	},
	{
		name:  "type-never",
		title: "An adapter of this kind has no merged weights",
		cause: "It changes no weights, its effect depends on the input, or it depends on something that cannot be had again, so no fixed weights compute the same.",
		fix:   "Load it with PEFT beside the base model, without merging.",
	},
	{
		name:  "type-unsupported",
		title: "Adapters of this kind are not merged by this version",
		cause: "The type, or an option that is set in adapter_config.json, can be merged, but this version does not; or PEFT 0.21 has no such type.",
		fix:   "Merge it with PEFT:\n\tpython -c \"from peft import AutoPeftModelForCausalLM as M; M.from_pretrained('ADAPTER').merge_and_unload().save_pretrained('OUT')\"",
	},
	{
		name:     "vocabulary-part",
		severity: Warning,
		title:    "The embedding and the head are of two sizes",
		cause:    "Training added tokens, and the file holds only one of the two matrices at its new size. PEFT saves both, unless it could not see the base's config when it saved.",
		fix:      "Save the adapter again with both:\n\tmodel.save_pretrained('OUT', save_embedding_layers=True)",
	},
	{
		name:  "weights-bad-tensor",
		title: "A tensor's size does not follow from its shape and type",
		cause: "The header contradicts itself. It was not written by a safetensors library, or the file was damaged.",
		fix:   fixCopyAgain,
	},
	{
		name:  "weights-duplicate-name",
		title: "A name stands twice in the header",
		cause: "The format forbids it, and readers do not agree on which of the two counts. The file was not written by a safetensors library.",
		fix:   "Write the file again with a safetensors library.",
	},
	{
		name:  "weights-empty",
		title: "The adapter file is valid and holds nothing",
		cause: "Training under DeepSpeed ZeRO-3 with stage3_gather_16bit_weights_on_model_save unset: each process holds only its part of the weights, and transformers before 5.0 then writes an empty file (40 bytes). FSDP with a sharded state dict does the same. PEFT loads such a file with a warning and gives the plain base model.",
		fix:   fixUngathered,
	},
	{
		name:  "weights-error-page",
		title: "The file is a text or a web page, not weights",
		cause: "A download saved what the server answered: an error, a login page, or the page about the file instead of the file.",
		fix:   fixDownload,
	},
	{
		name:  "weights-flat",
		title: "Matrices of the adapter were saved as flat parts",
		cause: "lora_A and lora_B are matrices, and these tensors have one dimension. Under FSDP (and DeepSpeed ZeRO-3) each process holds a flat part of every parameter; one process has saved its parts, and the values of the others are not in the file.",
		fix:   fixUngathered,
	},
	{
		name:  "weights-header-broken",
		title: "The header of the weights file is not what safetensors writes",
		cause: "The beginning of the file was overwritten or damaged, or another program wrote it (the error that Python prints is InvalidHeaderDeserialization).",
		fix:   fixCopyAgain,
	},
	{
		name:  "weights-header-not-utf8",
		title: "The header of the weights file is no text",
		cause: "The header is not UTF-8 (the error that Python prints is InvalidHeader). The beginning of the file was overwritten or damaged, or another program wrote it.",
		fix:   fixCopyAgain,
	},
	{
		name:  "weights-header-past-end",
		title: "The weights file ends within its header",
		cause: "The file was cut off very early: by a full disk, a killed process or an interrupted copy. Or it is not a safetensors file.",
		fix:   fixCopyAgain,
	},
	{
		name:  "weights-header-too-large",
		title: "The first bytes of the weights file give an absurd header length",
		cause: "The file is not a safetensors file, or its beginning is damaged. A header may have 100 MB at most.",
		fix:   fixCopyAgain,
	},
	{
		name:  "weights-holes",
		title: "The tensors in the weights file leave holes",
		cause: "The format asks that tensors follow each other without gap or overlap. The file was not written by a safetensors library, or it was damaged.",
		fix:   "Write the file again with a safetensors library, or copy it again.",
	},
	{
		name:  "weights-lfs-pointer",
		title: "The file is a Git LFS pointer, not the weights",
		cause: "The repository was cloned without Git LFS, so the large files are short texts that only say where the content is.",
		fix:   "Fetch the content:\n\tgit -C {dir} lfs install\n\tgit -C {dir} lfs pull",
	},
	{
		name:  "weights-missing",
		title: "adapter_model.safetensors is missing",
		cause: "The directory has an adapter_config.json and no weights. FSDP with SHARDED_STATE_DICT saved shards alone, the run stopped before it saved, or only a part was copied.",
		fix:   "Copy the weights too, or use another checkpoint.",
	},
	{
		name:  "weights-old-empty",
		title: "The adapter file holds nothing, in the invalid form of an old safetensors",
		cause: "As a valid empty file: training under DeepSpeed ZeRO-3 or FSDP did not gather the weights. safetensors before 0.4.4 wrote a broken header when there were no tensors (48 bytes), and readers answer with InvalidHeaderDeserialization.",
		fix:   fixUngathered,
	},
	{
		name:  "weights-other-format",
		title: "The file is in another format, in spite of its name",
		cause: "The first bytes are those of GGUF, HDF5, or a compressed archive.",
		fix:   "Unpack or convert the file; renaming it does not change its format.",
	},
	{
		name:  "weights-overlap",
		title: "Tensors in the weights file overlap",
		cause: "The format asks that tensors follow each other without gap or overlap. The file was not written by a safetensors library, or it was damaged.",
		fix:   "Write the file again with a safetensors library, or copy it again.",
	},
	{
		name:  "weights-pickle",
		title: "The file is a torch file, in spite of its name",
		cause: "Somebody renamed a .bin or .pt file, or saved with torch.save under this name.",
		fix: "Give it the name of what it is; lorafs reads torch files, and runs nothing of them:\n" +
			"\tmv {file} {torch}",
	},
	{
		name:  "weights-placeholders",
		title: "The tensors of the adapter are empty placeholders",
		cause: "The names are there, but the shapes are [0]: under DeepSpeed ZeRO-3 (and FSDP) each process holds only its part of a parameter, and the state dict was saved without gathering them. PEFT answers with a size mismatch and torch.Size([0]).",
		fix:   fixUngathered,
	},
	{
		name:  "weights-several-adapters",
		title: "One weights file holds several adapters",
		cause: "The names of the tensors contain the names of more than one adapter (lora_A.default, lora_A.other). save_pretrained of PEFT never writes that; the state dict of a model with several adapters was saved whole.",
		fix:   "Save each adapter with PEFT:\n\tmodel.save_pretrained('OUT', selected_adapters=['NAME'])",
	},
	{
		name:  "weights-too-short",
		title: "The weights file has fewer than 8 bytes",
		cause: "Nothing but a beginning was written: the disk was full, or the writer was killed.",
		fix:   fixCopyAgain,
	},
	{
		name:  "weights-torch-broken",
		title: "The torch file is broken",
		cause: "It does not begin as torch.save begins a file, or its parts contradict each other: a record is missing, a storage is shorter than the file says, a tensor reaches beyond its storage. Copies that were mixed up or changed on the way look like that.",
		fix:   fixCopyAgain,
	},
	{
		name:  "weights-torch-damaged",
		title: "Values in the torch file are not those that were saved",
		cause: "A record of the file has another checksum than the one it was saved with: bytes were changed or lost on the way, by a disk that was full or failed, or by a copy that broke off and left zeros. torch.load does not look at the checksums, so the file loads there, with wrong values.",
		fix:   fixCopyAgain,
	},
	{
		name:  "weights-torch-empty",
		title: "The adapter's torch file is too small to hold anything",
		cause: "adapter_model.bin holds no tensors (torch writes from 400 to 1,300 bytes for none, by its version): a pickled empty dict. Training under DeepSpeed ZeRO-3 did not gather the weights, or an old training script replaced model.state_dict before it saved.",
		fix:   fixUngathered + "\nIn an old script, remove the lines that assign to model.state_dict.",
	},
	{
		name:  "weights-torch-objects",
		title: "The torch file holds other things than tensors",
		cause: "An adapter's torch file is a dict of tensors by their names. This one holds something else, or something beside them: a whole checkpoint, an optimizer's state, a pickled module, sparse or quantised tensors.",
		fix: "Save the tensors alone. In the program that made it, with PEFT:\n" +
			"\tmodel.save_pretrained('OUT')",
	},
	{
		name:  "weights-torch-packed",
		title: "The torch file was packed again, with compression",
		cause: "torch.save stores its records as they are, so that tensors can be read in place. Somebody unpacked the file and zipped it again, or encrypted it.",
		fix: "Zip it again without compression, from the directory that holds its folder:\n" +
			"\tunzip {file} -d unpacked && (cd unpacked && zip -0 -r ../stored.zip .) && mv stored.zip {file}",
	},
	{
		name:  "weights-torch-refused",
		title: "The torch file is made in a way that torch.save does not make any",
		cause: "Its records overlap, have a name twice or a name that leaves the archive, or its pickle is no valid program or asks for far more memory than it has bytes. Files that are to attack their readers look like that. Nothing of it was run.",
		fix:   "Do not load it with Python. Fetch the file from a source that you trust, or copy it again.",
	},
	{
		name:  "weights-trailing",
		title: "The weights file is longer than its header says",
		cause: "Something was written behind the last tensor, or a new header was put before old data. Readers refuse such a file.",
		fix:   fixCopyAgain,
	},
	{
		name:  "weights-truncated",
		title: "The weights file is cut off",
		cause: "The header promises more bytes than the file has, or a torch file ends before its directory: the disk was full, the writer was killed, or a download or copy was interrupted.",
		fix:   fixCopyAgain,
	},
	{
		name:  "weights-whole-model",
		title: "A whole model was saved in place of the adapter",
		cause: "There are the weights of a model where those of an adapter should be: training saved the merged or the plain model (merge_and_unload before the save, save_model of a model that is not PEFT's), or the whole PEFT model with the adapter's tensors somewhere in it (lora_A.default.weight).",
		fix:   "If it is the trained model, it needs no adapter: {whole} and put the base's config.json and tokenizer beside it. Else save the adapter from the PEFT model:\n\tmodel.save_pretrained('OUT')",
	},
	{
		name:  "weights-zero-bytes",
		title: "The weights file is empty",
		cause: "The file was created and nothing was written: the disk was full, the writer was killed, or the file system lost the content in a crash.",
		fix:   fixCopyAgain,
	},
	{
		name:  "weights-zero-filled",
		title: "The weights file is filled with zeros",
		cause: "The space was reserved and the content never arrived: an interrupted download, or a crash before the disk had the data.",
		fix:   fixCopyAgain,
	},
	{
		name:  "write-refused",
		title: "The merged file cannot be written as safetensors",
		cause: "A name or an entry of the metadata cannot stand in a safetensors header, or the header would be larger than 100 MB.",
		fix:   "Check the names of the adapter's new tensors and the metadata of the base.",
	},
}

// Codes lists the codes of all findings, sorted.
func Codes() []string {
	names := make([]string, len(codes))
	for i, c := range codes {
		names[i] = c.name
	}
	return names
}

// find gives the row of a code; an unknown one is a mistake of this package.
func find(name string) code {
	for _, c := range codes {
		if c.name == name {
			return c
		}
	}
	panic("diagnose: no code " + name)
}
