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
	for _, find := range []func(string) string{nearZero, nearFSDP, nearHealthy} {
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

// zeroWay is the command that rebuilds the adapter beside the broken one. The step is
// named, since the file latest may name another.
func zeroWay(root, shards string, count int) string {
	files := "1 file"
	if count > 1 {
		files = fmt.Sprintf("%d files", count)
	}
	return fmt.Sprintf("The trained values need not be lost: a DeepSpeed checkpoint is near, in %s (%s). This rebuilds the adapter from it:\n\t%s",
		shards, files, recoverCommand(shards, root))
}

// recoverCommand rebuilds an adapter in a new directory beside the checkpoint's files.
func recoverCommand(checkpoint, root string) string {
	return fmt.Sprintf("lorafs recover %s %s", shellWord(checkpoint), shellWord(filepath.Join(root, "recovered")))
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

// nearFSDP finds a checkpoint of FSDP, sharded or in one file.
func nearFSDP(dir string) string {
	for _, root := range []string{dir, filepath.Dir(dir)} {
		for _, name := range listDir(root) {
			path := filepath.Join(root, name)
			if name == "pytorch_model_fsdp.bin" && isFile(path) || strings.HasPrefix(name, "pytorch_model_fsdp_") && isSharded(path) {
				return fmt.Sprintf("The trained values need not be lost: an FSDP checkpoint is near. This rebuilds the adapter from it:\n\t%s",
					recoverCommand(path, root))
			}
		}
	}
	return ""
}

func isSharded(dir string) bool {
	return slices.ContainsFunc(listDir(dir), func(name string) bool { return strings.HasSuffix(name, ".distcp") })
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
