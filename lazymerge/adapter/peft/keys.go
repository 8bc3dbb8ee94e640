package peft

import "strings"

// role is what a tensor of the file is for.
type role uint8

const (
	roleFull  role = iota // a whole parameter, named by param
	roleA                 // lora_A
	roleB                 // lora_B
	roleBiasB             // lora_B's bias
	roleEmbeddingA
	roleEmbeddingB
	roleMagnitude
	roleTokens // trainable_tokens_delta: rows of an embedding
	roleIgnored
)

func (r role) String() string {
	switch r {
	case roleA:
		return "lora_A"
	case roleB:
		return "lora_B"
	case roleBiasB:
		return "lora_B.bias"
	case roleEmbeddingA:
		return "lora_embedding_A"
	case roleEmbeddingB:
		return "lora_embedding_B"
	case roleMagnitude:
		return "lora_magnitude_vector"
	case roleTokens:
		return "trainable_tokens_delta"
	}
	return "parameter"
}

// tensorKey is a tensor name taken apart.
type tensorKey struct {
	role    role
	module  string // as PEFT's model names it, without wrappers
	param   string // of roleFull
	adapter string // adapter name left in the key, "" when stripped as PEFT does
	saved   bool   // roleFull: spelled as a module of modules_to_save
	base    bool   // roleFull: spelled as the base_layer of an adapted module
	outProj bool   // of torch's MultiheadAttention: module is M.out_proj, owner M
	owner   string
}

// leaves are the ends of names that PEFT gives to its own tensors, and the suffix
// that follows the adapter's name.
var leaves = []struct {
	name, suffix string
	role         role
}{
	{"lora_A", "weight", roleA},
	{"lora_B", "weight", roleB},
	{"lora_B", "bias", roleBiasB},
	{"lora_embedding_A", "", roleEmbeddingA},
	{"lora_embedding_B", "", roleEmbeddingB},
	{"lora_magnitude_vector", "", roleMagnitude},
	{"lora_magnitude_vector", "weight", roleMagnitude},
	{"trainable_tokens_delta", "", roleTokens},
	// VeLoRA's and MonteCLoRA's state of training.
	{"lora_velora_embed", "", roleIgnored},
}

// parseKey takes a tensor name apart. ok is false when it has no meaning.
func parseKey(key string) (k tensorKey, ok bool) {
	parts := stripWrappers(strings.Split(key, "."))
	for _, p := range parts {
		if p == "" {
			return tensorKey{}, false
		}
	}
	if at := index(parts, "lora_monteclora_sampler"); at > 0 {
		return tensorKey{role: roleIgnored, module: join(parts[:at])}, true
	}
	for _, l := range leaves {
		if module, adapter, ok := cutLeaf(parts, l.name, l.suffix); ok {
			return moduleKey(tensorKey{role: l.role, adapter: adapter}, module)
		}
	}
	if strings.HasPrefix(parts[len(parts)-1], "lora_") || len(parts) > 1 && strings.HasPrefix(parts[len(parts)-2], "lora_") {
		return tensorKey{}, false
	}
	return fullKey(parts)
}

// stripWrappers drops what training wrappers and PEFT put around the model. What
// PEFT puts in front is dropped once: a model may have a part of that name.
func stripWrappers(parts []string) []string {
	var out []string
	front := true
	for _, p := range parts {
		switch {
		case p == "_orig_mod" || p == "_fsdp_wrapped_module" || p == "_checkpoint_wrapped_module":
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

// cutLeaf splits M.name[.adapter][.suffix].
func cutLeaf(parts []string, name, suffix string) (module []string, adapter string, ok bool) {
	n := len(parts)
	if suffix != "" {
		if n == 0 || parts[n-1] != suffix {
			return nil, "", false
		}
		n--
	}
	switch {
	case n >= 2 && parts[n-1] == name:
		return parts[:n-1], "", true
	case n >= 3 && parts[n-2] == name && parts[n-1] != "weight" && parts[n-1] != "bias":
		return parts[:n-2], parts[n-1], true
	}
	return nil, "", false
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
	if index(module, "base_layer") >= 0 {
		return tensorKey{}, false
	}
	k.module = join(module)
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
	if n := len(parts); n > 2 && parts[n-2] == "base_layer" {
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
