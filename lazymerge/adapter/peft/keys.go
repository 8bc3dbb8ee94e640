package peft

import (
	"slices"
	"strings"

	"lorafs/lazymerge/transform"
)

// role is what a tensor of the file is for: the leaf of its name, as messages give it.
type role string

const (
	roleFull    role = "parameter"              // a whole parameter, named by param
	roleTokens  role = "trainable_tokens_delta" // rows of an embedding
	roleIgnored role = "ignored"                // nothing that a merge reads
)

// leaf is the end of the names that a type gives to tensors of its own.
type leaf struct {
	// path is the leaf as PEFT saves it, "lora_A.weight". The adapter's name may stand
	// behind its first part. A part # is any number, a part * anything.
	path string
	// role is the path without ".weight" when it is "".
	role role
	// tree takes all tensors below the path as well.
	tree bool
}

// tokenLeaves are those of trainable tokens, which several types have.
var tokenLeaves = []leaf{{path: "trainable_tokens_delta", role: roleTokens}}

// tensorKey is a tensor name taken apart.
type tensorKey struct {
	role    role
	module  string // as PEFT's model names it, without wrappers
	param   string // of roleFull
	adapter string // adapter name left in the key, "" when stripped as PEFT does
	saved   bool   // roleFull: spelled as a module of modules_to_save
	base    bool   // roleFull: spelled as the base_layer of an adapted module
	shared  bool   // of all modules: there is no module
	outProj bool   // of torch's MultiheadAttention: module is M.out_proj, owner M
	depth   int    // of nested adapters of parameters: how many base_layer end the module's name
	below   bool   // the module stands in one whose parameters have adapters
	owner   string
}

// parseKey takes a tensor name apart. ok is false when it has no meaning.
func (m *method) parseKey(key string) (k tensorKey, ok bool) {
	parts := stripWrappers(strings.Split(key, "."))
	for _, p := range parts {
		if p == "" {
			return tensorKey{}, false
		}
	}
	for _, l := range m.shared {
		if above, adapter, role, ok := l.cut(parts); ok && len(above) == 1 && above[0] == "base_model" {
			return tensorKey{role: role, adapter: adapter, shared: true}, true
		}
	}
	for _, leaves := range [][]leaf{m.leaves, tokenLeaves} {
		for _, l := range leaves {
			if module, adapter, role, ok := l.cut(parts); ok {
				return moduleKey(tensorKey{role: role, adapter: adapter}, module)
			}
		}
	}
	if slices.ContainsFunc(parts[max(len(parts)-3, 0):], m.reserved) {
		return tensorKey{}, false
	}
	return fullKey(parts)
}

// reserved tells whether a part of a name is of an adapter's own tensor.
func (m *method) reserved(part string) bool {
	return strings.HasPrefix(part, "lora_") || m.prefix != "" && strings.HasPrefix(part, m.prefix)
}

// stripWrappers drops what training wrappers and PEFT put around the model. What
// PEFT puts in front is dropped once: a model may have a part of that name.
func stripWrappers(parts []string) []string {
	var out []string
	front := true
	for _, p := range parts {
		switch {
		case slices.Contains(wrappers, p):
			continue
		case p == "module" && front:
			continue
		}
		front = false
		out = append(out, p)
	}
	if len(out) > 2 && out[0] == "base_model" && out[1] == "model" {
		return out[2:]
	}
	return out
}

// wrappers are the parts of a name that compiling and sharding a model put into it.
var wrappers = []string{"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}

// foreign tells whether PEFT would pass over a tensor because of its name: it looks
// for its own prefix, once, and for the modules of the plain model.
func foreign(key string) bool {
	if !strings.HasPrefix(key, "base_model.") || strings.HasPrefix(key, "base_model.model.base_model.") {
		return true
	}
	return slices.ContainsFunc(strings.Split(key, "."), func(part string) bool { return slices.Contains(wrappers, part) })
}

// warnNames warns of names under which PEFT, and the servers that read its files, would
// not find the tensors. (peft utils/save_and_load.py, set_peft_model_state_dict @0.21.2
// puts the adapter's name into each key; what then is no key of the model is dropped.)
func (p *parser) warnNames() {
	if len(p.named) > 0 {
		p.warn(transform.NameLeft, p.named[0], "the adapter's name, %s, stands in %d of %d names: %s",
			sortedKeys(p.names)[0], len(p.named), len(p.file.Tensors()), shortList(p.named))
	}
	if len(p.foreign) > 0 {
		p.warn(transform.NamesWrapped, p.foreign[0], "%d of %d names are not those that PEFT writes: %s",
			len(p.foreign), len(p.file.Tensors()), shortList(p.foreign))
	}
}

// cut splits M.leaf, where the adapter's name may stand in the leaf.
func (l leaf) cut(parts []string) (module []string, adapter string, r role, ok bool) {
	want := strings.Split(l.path, ".")
	if l.tree {
		if at := index(parts, want[0]); at > 0 {
			return parts[:at], "", l.role, true
		}
		return nil, "", "", false
	}
	for named := range 2 {
		at := len(parts) - len(want) - named
		if at < 1 || parts[at] != want[0] {
			continue
		}
		rest := parts[at+1+named:]
		if named == 1 {
			if adapter = parts[at+1]; adapter == "weight" || adapter == "bias" {
				continue
			}
		}
		if alike(rest, want[1:]) {
			return parts[:at], adapter, l.roleOf(rest), true
		}
	}
	return nil, "", "", false
}

func (l leaf) roleOf(rest []string) role {
	if l.role != "" {
		return l.role
	}
	first, _, _ := strings.Cut(l.path, ".")
	return role(strings.TrimSuffix(strings.Join(append([]string{first}, rest...), "."), ".weight"))
}

// alike compares parts with those of a leaf's path.
func alike(parts, want []string) bool {
	for i, w := range want {
		switch {
		case w == "*":
		case w == "#":
			if strings.Trim(parts[i], "0123456789") != "" {
				return false
			}
		case w != parts[i]:
			return false
		}
	}
	return true
}

// moduleKey finds the base module of a tensor that PEFT added.
func moduleKey(k tensorKey, module []string) (tensorKey, bool) {
	if n := len(module); n > 1 && module[n-1] == "token_adapter" {
		if k.role != roleTokens {
			return tensorKey{}, false
		}
		module = module[:n-1]
	}
	if n := len(module); n > 2 && module[n-2] == "base_layer" && module[n-1] == "out_proj" {
		k.outProj, k.owner = true, join(module[:n-2])
		module = append(module[:n-2:n-2], "out_proj")
	}
	k.module = join(module)
	for n := len(module); n > 1 && module[n-1] == "base_layer"; n-- {
		module = module[:n-1]
		k.depth++
	}
	if index(module, "base_layer") >= 0 {
		k.below = true
		inner := slices.DeleteFunc(slices.Clone(module), func(part string) bool { return part == "base_layer" })
		k.module = join(inner) + strings.Repeat(wrapped, k.depth)
	}
	return k, true
}

// unwrapTokens drops the wrapper of trainable tokens around an embedding.
func unwrapTokens(parts []string) []string {
	for i := 0; i+1 < len(parts); i++ {
		if parts[i] == "token_adapter" && parts[i+1] == "base_layer" {
			return append(parts[:i:i], parts[i+2:]...)
		}
	}
	return parts
}

// fullKey reads the name of a whole parameter of the base's model.
func fullKey(parts []string) (tensorKey, bool) {
	k := tensorKey{role: roleFull}
	if n := len(parts); n > 2 && (parts[n-1] == "token_indices" || parts[n-2] == "token_adapter") {
		return tensorKey{}, false
	}
	if index(parts, "original_module") > 0 {
		k.role = roleIgnored
	}
	if at := index(parts, "modules_to_save"); at > 0 {
		k.saved = true
		rest := parts[at+1:]
		if len(rest) > 1 {
			k.adapter, rest = rest[0], rest[1:]
		}
		parts = append(parts[:at:at], rest...)
	}
	if inner := unwrapTokens(parts); len(inner) < len(parts) {
		parts, k.base = inner, true
	}
	for n := len(parts); n > 2 && parts[n-2] == "base_layer"; n-- {
		parts, k.base = append(parts[:n-2:n-2], parts[n-1]), true
	}
	if n := len(parts); n > 3 && parts[n-3] == "base_layer" && parts[n-2] == "out_proj" {
		parts = append(parts[:n-3:n-3], parts[n-2:]...)
	}
	if len(parts) < 2 || index(parts, "base_layer") >= 0 {
		return tensorKey{}, false
	}
	k.module, k.param = join(parts[:len(parts)-1]), parts[len(parts)-1]
	return k, true
}

func index(parts []string, name string) int {
	for i, p := range parts {
		if p == name {
			return i
		}
	}
	return -1
}

func join(parts []string) string { return strings.Join(parts, ".") }
