package diagnose

import (
	"cmp"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"lorafs/lazymerge/checkpoint"
	"lorafs/lazymerge/modeldir"
)

// Names of what DeepSpeed and the Trainer write.
var (
	// zeroShard is a file with one process's part of the trained values.
	zeroShard      = regexp.MustCompile(`^(bf16_)?zero_pp_rank_\d+_mp_rank_\d+_optim_states\.pt$`)
	zeroModel      = regexp.MustCompile(`^zero_pp_rank_\d+_mp_rank_\d+_model_states\.pt$`)
	globalStep     = regexp.MustCompile(`^global_step(\d{1,18})(_universal)?$`)
	checkpointStep = regexp.MustCompile(`^checkpoint-(\d{1,18})$`)
)

const (
	maxNear        = 10_000 // entries of a directory that are looked at
	maxCheckpoints = 100    // of a run, the newest
	maxTried       = 4      // of what may be checkpoints, when a whole one is looked for
)

// nearby says which ways back to the trained values stand near an adapter that
// holds none, the one to the newest values first, "" when there is none to see.
func nearby(weights string) string {
	if weights == "" {
		return ""
	}
	dir := filepath.Dir(weights)
	whole := nearHealthy(dir)
	var ways []string
	for _, s := range nearShards(dir) {
		if whole == "" || s.root == dir || stepOf(s.root) > stepOf(whole) {
			ways = append(ways, s.way(dir))
		}
	}
	if whole != "" {
		ways = append(ways, fmt.Sprintf("The newest whole checkpoint of this run is %s:\n\tlorafs mount BASE %s MOUNTPOINT", whole, Quote(whole)))
	}
	return strings.Join(ways, "\n")
}

// shards is a checkpoint that holds the trained values outside of an adapter.
type shards struct {
	root  string // the directory of the checkpoint
	path  string // what is to be put together
	what  string // what it is, for people
	part  bool   // files of some ranks are missing
	err   error  // why no adapter can be rebuilt
	half  bool   // only the values that the model computed with are there
	large bool   // it was not tried
	needs []need // what recover has to be told
}

// nearShards looks in the directory of an adapter, in the checkpoints below it (dir may
// be the run's output) and then, since PEFT gives adapters sub-directories, above. It
// gives the first, and where that is not whole the first of some that is.
func nearShards(dir string) (found []shards) {
	left := maxTried
	for _, top := range []string{dir, filepath.Dir(dir)} {
		for _, root := range append([]string{top}, checkpointsIn(top)...) {
			s, ok := shardsIn(root, &left)
			if !ok || len(found) > 0 && !s.whole() {
				continue
			}
			if found = append(found, s); s.whole() {
				return found
			}
		}
	}
	return found
}

// olderShards finds the newest whole checkpoint of the run before the one of a step.
func olderShards(step string) (shards, bool) {
	root, left := filepath.Dir(step), maxTried
	for _, older := range checkpointsIn(filepath.Dir(root)) {
		if stepOf(older) >= stepOf(root) {
			continue
		}
		if s, ok := shardsIn(older, &left); ok && s.whole() {
			return s, true
		}
	}
	return shards{}, false
}

// shardsIn looks for the checkpoint of a directory, and for none once nothing is left of
// what may be tried.
func shardsIn(root string, left *int) (shards, bool) {
	for _, find := range []func(string) (shards, bool){zeroIn, fsdpIn} {
		if s, ok := find(root); ok {
			return s, s.try(left)
		}
	}
	return stateIn(root, left)
}

// checkpointsIn lists the newest checkpoints of a run, the newest first.
func checkpointsIn(run string) []string {
	var dirs []string
	for _, name := range listDir(run) {
		if checkpointStep.MatchString(name) {
			dirs = append(dirs, filepath.Join(run, name))
		}
	}
	slices.SortStableFunc(dirs, func(a, b string) int { return cmp.Compare(stepOf(b), stepOf(a)) })
	return dirs[:min(len(dirs), maxCheckpoints)]
}

// stepOf is the step of the checkpoint that a directory is or lies in, -1 for none.
func stepOf(dir string) int64 {
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if m := checkpointStep.FindStringSubmatch(filepath.Base(d)); m != nil {
			return number(m[1])
		}
	}
	return -1
}

func number(digits string) int64 {
	n, _ := strconv.ParseInt(digits, 10, 64) // the pattern admits no other than numbers
	return n
}

// zeroIn finds DeepSpeed's values of the highest step. The step is named, since the
// file latest may name another.
func zeroIn(root string) (best shards, ok bool) {
	newest := int64(-1)
	for _, name := range listDir(root) {
		m := globalStep.FindStringSubmatch(name)
		if m == nil || number(m[1]) <= newest {
			continue
		}
		path := filepath.Join(root, name)
		if what, part := zeroValues(path); what != "" {
			newest, best, ok = number(m[1]), shards{root: root, path: path, what: what, part: part}, true
		}
	}
	return best, ok
}

// zeroValues says what values of DeepSpeed a directory holds, "" for none, and whether
// files of stage 3 are missing, where each rank has two.
func zeroValues(dir string) (what string, part bool) {
	count, models := 0, 0
	for _, name := range listDir(dir) {
		if zeroShard.MatchString(name) {
			count++
		}
		if zeroModel.MatchString(name) {
			models++
		}
	}
	switch part = models > 0 && models != count; {
	case part && count > 0:
		return fmt.Sprintf("in %s are optimizer states of %d and model states of %d", dir, count, models), true
	case count == 1:
		return "a DeepSpeed checkpoint is near, in " + dir + " (optimizer states of 1 rank)", false
	case count > 1:
		return fmt.Sprintf("a DeepSpeed checkpoint is near, in %s (optimizer states of %d ranks)", dir, count), false
	}
	parameters := filepath.Join(dir, "zero")
	if slices.ContainsFunc(listDir(parameters), func(name string) bool { return isFile(filepath.Join(parameters, name, "fp32.pt")) }) {
		return "a universal checkpoint of DeepSpeed is near, in " + dir, false
	}
	return "", false
}

// fsdpIn finds values of FSDP, sharded or in one file.
func fsdpIn(root string) (shards, bool) {
	for _, name := range listDir(root) {
		path := filepath.Join(root, name)
		if name == "pytorch_model_fsdp.bin" && isFile(path) || strings.HasPrefix(name, "pytorch_model_fsdp_") && isSharded(path) {
			return shards{root: root, path: path, what: "an FSDP checkpoint is near, in " + root}, true
		}
	}
	return shards{}, false
}

func isSharded(dir string) bool {
	return slices.ContainsFunc(listDir(dir), func(name string) bool { return strings.HasSuffix(name, ".distcp") })
}

// way is the command that rebuilds the adapter of dir, or where that was done before.
func (s shards) way(dir string) string {
	if s.part {
		return recovering(fmt.Sprintf("Some ranks' files of a checkpoint are missing: %s. With those from the run's other machines in it, this rebuilds the adapter:", s.what), s.path, "", s.root, dir)
	}
	of := ""
	if step := stepOf(s.root); s.root != dir && step >= 0 {
		of = fmt.Sprintf(", as they were at step %d,", step)
	}
	if s.err != nil {
		return recovering(fmt.Sprintf("The trained values%s may be near: %s. As it is, no adapter can be rebuilt from it: %v. Once that is mended, this does:", of, s.what, s.err), s.path, "", s.root, dir)
	}
	return recovering(fmt.Sprintf("The trained values%s need not be lost: %s. %s", of, s.what, s.intro()), s.path, s.flags(), s.root, dir)
}

// rebuild is the way to the adapter of a checkpoint that was found itself.
func rebuild(root, path, what string) string {
	s, left := shards{root: root, path: path, what: what}, 1
	s.try(&left)
	return s.way(root)
}

// recovering says by intro and a command how the adapter of a checkpoint is rebuilt, or
// where that was done before. flags are what recover needs, root and dir are as in recoveredTo.
func recovering(intro, checkpoint, flags, root, dir string) string {
	out, done := recoveredTo(root, dir)
	if done {
		return fmt.Sprintf("The trained values are not lost: the adapter was recovered already, in %s:\n\t%s", out, CheckCommand("", out))
	}
	return intro + "\n\t" + recoverCommand(flags, checkpoint, out)
}

// recoverCommand recovers with flags, which end in a space.
func recoverCommand(flags, checkpoint, out string) string {
	return fmt.Sprintf("lorafs recover %s%s %s", flags, Quote(checkpoint), Quote(out))
}

// CheckCommand is what says whether an adapter fits a base, "" for one that is not known.
func CheckCommand(base, adapter string) string {
	if base == "" {
		base = "BASE"
	}
	return fmt.Sprintf("lorafs check --base %s %s", Quote(base), Quote(adapter))
}

// recoveredTo is the directory for the adapter of a checkpoint: beside it, not in it,
// where the Trainer's save_total_limit would remove it. done says that an adapter lies
// there. dir, which holds the broken adapter, is not taken.
func recoveredTo(root, dir string) (out string, done bool) {
	if base := filepath.Base(root); base == "." || base == ".." {
		if abs, err := filepath.Abs(root); err == nil {
			root = abs
		}
	}
	base := filepath.Base(root) + "-recovered"
	if m := checkpointStep.FindStringSubmatch(filepath.Base(root)); m != nil {
		base = "recovered-" + m[1]
	}
	out = filepath.Join(filepath.Dir(root), base)
	const most = 100
	for i := 2; i < most && (out == dir || len(listDir(out)) > 0 || isFile(out)); i++ {
		if out != dir && isFile(filepath.Join(out, "adapter_config.json")) && isFile(filepath.Join(out, "adapter_model.safetensors")) {
			return out, true
		}
		out = filepath.Join(filepath.Dir(root), fmt.Sprintf("%s-%d", base, i))
	}
	return out, false
}

// nearHealthy finds the newest whole checkpoint of the run that the directory
// belongs to, "" when there is none.
func nearHealthy(dir string) string {
	for _, root := range []string{dir, filepath.Dir(dir)} {
		path, _, err := modeldir.NewestHealthy(root)
		if err == nil && path != dir {
			return path
		}
	}
	return ""
}

// listDir lists a directory, sorted.
func listDir(dir string) []string {
	names, _ := checkpoint.List(dir, maxNear) // what cannot be listed is not near
	return names
}
