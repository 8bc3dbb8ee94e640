package training

import (
	"errors"
	"fmt"

	"lorafs/lazymerge/torchfile"
	"lorafs/lazymerge/torchfile/pickle"
)

// argumentsName is the file in which Trainer keeps its settings beside each checkpoint:
// a pickled TrainingArguments.
const argumentsName = "training_args.bin"

// readArguments gives the fields of a training_args.bin. In place of the path of a
// DeepSpeed config stands the config itself, as it was in use, when the file has it.
func readArguments(path string) (o object, err error) {
	f, err := torchfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r := pickled{}
	v, err := r.value(f.Root(), 0)
	if err != nil {
		return nil, err
	}
	o, ok := v.(object)
	if !ok {
		return nil, errNoObject
	}
	if inUse := child(child(o, "hf_deepspeed_config"), "config"); inUse != nil {
		o["deepspeed"] = inUse
	}
	return o, nil
}

// pickled turns values of a pickle into plain ones, objects of unknown classes into their
// fields. A pickle may hold itself, so values are counted.
type pickled struct{ nodes int }

func (r *pickled) value(v any, depth int) (any, error) {
	if r.nodes++; r.nodes > maxNodes {
		return nil, fmt.Errorf("more than %d values", maxNodes)
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	switch v := v.(type) {
	case nil, bool, int64, float64, string:
		return v, nil
	case *pickle.Dict:
		return r.fields(v, depth)
	case *pickle.List:
		return r.list(v.Items, depth)
	case pickle.Tuple:
		return r.list(v, depth)
	case *pickle.Object:
		if state, ok := v.State.(*pickle.Dict); ok {
			return r.fields(state, depth)
		}
		return r.list(v.Args, depth) // of an enumeration: its value
	}
	return fmt.Sprintf("(%T)", v), nil
}

func (r *pickled) fields(d *pickle.Dict, depth int) (any, error) {
	o := object{}
	for k, v := range d.All() {
		name, ok := k.(string)
		if !ok {
			continue
		}
		plain, err := r.value(v, depth+1)
		if err != nil {
			return nil, err
		}
		o[name] = plain
	}
	return o, nil
}

func (r *pickled) list(items []any, depth int) (any, error) {
	list := make([]any, 0, len(items))
	for _, v := range items {
		plain, err := r.value(v, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, plain)
	}
	return list, nil
}

// addArguments adds what the fields of TrainingArguments say about the version of
// transformers: 5.0 took per_gpu_train_batch_size away, which all 4.x have. Only a file
// that lists all fields, as Trainer writes it, says something by leaving one out.
func (p packages) addArguments(file string, o object) {
	for _, name := range []string{"output_dir", "adam_beta1", "ddp_timeout", "dataloader_num_workers", "seed"} {
		if _, ok := o[name]; !ok {
			return
		}
	}
	limit, _ := parseVersion(gatheringTransformers)
	f := fact{file: file, text: "transformers 5.0 or later", exact: true, specs: []spec{{">=", limit}}}
	if _, ok := o["per_gpu_train_batch_size"]; ok {
		f = fact{file: file, text: "transformers before 5.0", exact: true, specs: []spec{{"<", limit}}}
	}
	p["transformers"] = append(p["transformers"], f)
}
