package diagnose

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"lorafs/lazymerge/modeldir"
)

// zeroShard is a file in which DeepSpeed keeps one process's part of the trained
// values.
var zeroShard = regexp.MustCompile(`^(bf16_)?zero_pp_rank_\d+_mp_rank_\d+_optim_states\.pt$`)

// maxNear bounds how much of a directory is looked at.
const maxNear = 10_000

// nearby says which way back to the trained values stands near an adapter that
// holds none, "" when there is none to see.
func nearby(weights string) string {
	if weights == "" {
		return ""
	}
	dir := filepath.Dir(weights)
	var ways []string
	for _, find := range []func(string) string{nearZero, nearSharded, nearHealthy} {
		if way := find(dir); way != "" {
			ways = append(ways, way)
		}
	}
	return strings.Join(ways, "\n")
}

// nearZero finds the shards of a DeepSpeed checkpoint in a directory or the one
// above, which is where PEFT's sub-directories put it.
func nearZero(dir string) string {
	for _, root := range []string{dir, filepath.Dir(dir)} {
		if steps := globalSteps(root); len(steps) > 0 {
			shards := filepath.Join(root, steps[len(steps)-1])
			return zeroWay(root, shards, countShards(shards))
		}
	}
	return ""
}

// globalSteps lists the sub-directories that hold shards, in order of their steps.
func globalSteps(root string) []string {
	var steps []string
	for _, name := range listDir(root) {
		if strings.HasPrefix(name, "global_step") && countShards(filepath.Join(root, name)) > 0 {
			steps = append(steps, name)
		}
	}
	slices.SortStableFunc(steps, func(a, b string) int { return len(a) - len(b) })
	return steps
}

func zeroWay(root, shards string, count int) string {
	script := "-m deepspeed.utils.zero_to_fp32"
	if copied := filepath.Join(root, "zero_to_fp32.py"); isFile(copied) {
		script = shellWord(copied)
	}
	files := "1 file"
	if count > 1 {
		files = fmt.Sprintf("%d files", count)
	}
	out := filepath.Join(root, "recovered")
	adapter := filepath.Join(root, "adapter_model.safetensors")
	return fmt.Sprintf("The trained values need not be lost: a DeepSpeed checkpoint is near, in %s (%s). "+
		"On a machine with torch and DeepSpeed, gather its values, then give them the names of an adapter file. The script unpickles the files, so run it on checkpoints of your own only:\n"+
		"\tpython %s %s %s --safe_serialization --exclude_frozen_parameters --max_shard_size 1000GB\n"+
		"\tpython -c \"import sys; from safetensors.torch import load_file, save_file; save_file({k.replace('.modules_to_save.default.', '.').replace('.default.', '.'): v for k, v in load_file(sys.argv[1]).items()}, sys.argv[2], {'format': 'pt'})\" %s %s",
		shards, files, script, shellWord(root), shellWord(out),
		shellWord(filepath.Join(out, "model.safetensors")), shellWord(adapter))
}

func countShards(dir string) int {
	n := 0
	for _, name := range listDir(dir) {
		if zeroShard.MatchString(name) {
			n++
		}
	}
	return n
}

// nearSharded finds a sharded checkpoint of FSDP.
func nearSharded(dir string) string {
	for _, root := range []string{dir, filepath.Dir(dir)} {
		for _, name := range listDir(root) {
			if !strings.HasPrefix(name, "pytorch_model_fsdp_") {
				continue
			}
			for _, part := range listDir(filepath.Join(root, name)) {
				if strings.HasSuffix(part, ".distcp") {
					return fmt.Sprintf("The trained values need not be lost: a sharded FSDP checkpoint is near. accelerate gathers it:\n\taccelerate merge-weights %s %s",
						shellWord(filepath.Join(root, name)), shellWord(filepath.Join(root, "merged")))
				}
			}
		}
	}
	return ""
}

// nearHealthy finds the newest whole checkpoint of the run that the directory
// belongs to.
func nearHealthy(dir string) string {
	for _, root := range []string{dir, filepath.Dir(dir)} {
		path, _, err := modeldir.NewestHealthy(root)
		if err == nil && path != dir {
			return fmt.Sprintf("The newest whole checkpoint of this run is %s:\n\tlorafs mount BASE %s MOUNTPOINT", path, shellWord(path))
		}
	}
	return ""
}

// listDir lists a directory, sorted.
func listDir(dir string) []string {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(maxNear) // what cannot be listed is not near
	slices.Sort(names)
	return names
}
