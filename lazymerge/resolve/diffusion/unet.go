package diffusion

import (
	"fmt"
	"strconv"
	"strings"
)

// The UNet of SD 1.x, 2.x and SDXL is a list of numbered blocks in its authors'
// naming and a tree of levels in diffusers'. Which block is which layer follows from
// the number of layers a level (diffusers' convert_ldm_unet_checkpoint).

// unetOuter pairs the names around the blocks, the authors' first.
var unetOuter = [][2]string{
	{"time_embed.0", "time_embedding.linear_1"},
	{"time_embed.2", "time_embedding.linear_2"},
	{"label_emb.0.0", "add_embedding.linear_1"},
	{"label_emb.0.2", "add_embedding.linear_2"},
	{"input_blocks.0.0", "conv_in"},
	{"out.0", "conv_norm_out"},
	{"out.2", "conv_out"},
	{"middle_block.0", "mid_block.resnets.0"},
	{"middle_block.1", "mid_block.attentions.0"},
	{"middle_block.2", "mid_block.resnets.1"},
}

// unetResnet pairs the names inside a residual block.
var unetResnet = [][2]string{
	{"in_layers.0", "norm1"},
	{"in_layers.2", "conv1"},
	{"emb_layers.1", "time_emb_proj"},
	{"out_layers.0", "norm2"},
	{"out_layers.3", "conv2"},
	{"skip_connection", "conv_shortcut"},
}

// unetNames gives the other naming's names of the region's modules, nil when the
// region is no such UNet.
func (t *table) unetNames() map[string]string {
	var translate func(module string) string
	switch {
	case t.any("input_blocks.0.0"):
		layers := t.count("input_blocks.%d.0.in_layers.0", 1)
		translate = func(m string) string { return toDiffusers(m, layers) }
	case t.any("down_blocks.0.resnets.0") || t.any("conv_in") && t.any("mid_block.resnets.0"):
		layers := t.count("down_blocks.0.resnets.%d.norm1", 0)
		translate = func(m string) string { return toBlocks(m, layers, t.attends) }
	default:
		return nil
	}
	names := make(map[string]string)
	for module := range t.modules {
		if other := translate(module); other != "" {
			names[other] = module
		}
	}
	return names
}

// any reports whether a module of that name, or one below it, is there.
func (t *table) any(module string) bool {
	for m := range t.modules {
		if m == module || strings.HasPrefix(m, module+".") {
			return true
		}
	}
	return false
}

// count counts modules by their number, from first on, without a gap.
func (t *table) count(pattern string, first int) int {
	n := 0
	for t.any(fmt.Sprintf(pattern, first+n)) {
		n++
	}
	return n
}

// attends reports whether a level of diffusers' decoder has attention: its
// upsampler then comes third in its block, else second.
func (t *table) attends(level int) bool {
	return t.any(fmt.Sprintf("up_blocks.%d.attentions.0", level))
}

// toDiffusers turns the authors' name of a module into diffusers', "" when it is none.
func toDiffusers(module string, layers int) string {
	for _, p := range unetOuter {
		if rest, ok := below(module, p[0]); ok {
			return p[1] + resnetRest(rest, p[1], 0)
		}
	}
	side, block, sub, rest, ok := numbered(module)
	if !ok || layers == 0 {
		return ""
	}
	if side == "input_blocks" {
		level, layer := (block-1)/(layers+1), (block-1)%(layers+1)
		if layer == layers {
			if sub != 0 || rest != ".op" {
				return ""
			}
			return fmt.Sprintf("down_blocks.%d.downsamplers.0.conv", level)
		}
		return layerName("down_blocks", level, layer, sub, rest)
	}
	level, layer := block/(layers+1), block%(layers+1)
	if sub > 0 && rest == ".conv" {
		return fmt.Sprintf("up_blocks.%d.upsamplers.0.conv", level)
	}
	return layerName("up_blocks", level, layer, sub, rest)
}

func layerName(side string, level, layer, sub int, rest string) string {
	switch sub {
	case 0:
		name := fmt.Sprintf("%s.%d.resnets.%d", side, level, layer)
		return name + resnetRest(rest, name, 0)
	case 1:
		return fmt.Sprintf("%s.%d.attentions.%d%s", side, level, layer, rest)
	}
	return ""
}

// toBlocks turns diffusers' name of a module into the authors', "" when it is none.
func toBlocks(module string, layers int, attends func(level int) bool) string {
	for _, p := range unetOuter {
		if rest, ok := below(module, p[1]); ok {
			return p[0] + resnetRest(rest, p[1], 1)
		}
	}
	side, level, kind, layer, rest, ok := levelled(module)
	if !ok || layers == 0 {
		return ""
	}
	blocks, block := "input_blocks", 1+level*(layers+1)+layer
	if side == "up_blocks" {
		blocks, block = "output_blocks", level*(layers+1)+layer
	}
	switch {
	case kind == "resnets":
		return fmt.Sprintf("%s.%d.0%s", blocks, block, resnetRest(rest, module, 1))
	case kind == "attentions":
		return fmt.Sprintf("%s.%d.1%s", blocks, block, rest)
	case kind == "downsamplers" && rest == ".conv":
		return fmt.Sprintf("input_blocks.%d.0.op", (level+1)*(layers+1))
	case kind == "upsamplers" && rest == ".conv":
		sub := 1
		if attends(level) {
			sub = 2
		}
		return fmt.Sprintf("output_blocks.%d.%d.conv", level*(layers+1)+layers, sub)
	}
	return ""
}

// resnetRest translates what follows a residual block's name, from column from of
// unetResnet to the other; what follows any other name stays.
func resnetRest(rest, name string, from int) string {
	if !strings.Contains(name, "resnets") {
		return rest
	}
	for _, p := range unetResnet {
		if rest == "."+p[from] {
			return "." + p[1-from]
		}
	}
	return rest
}

// below cuts a module's name off in front; rest is "" or begins with a dot.
func below(name, module string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(name, module)
	return rest, ok && (rest == "" || rest[0] == '.')
}

// numbered reads input_blocks.4.1.rest and output_blocks.4.1.rest.
func numbered(module string) (side string, block, sub int, rest string, ok bool) {
	parts := strings.SplitN(module, ".", 4)
	if len(parts) < 3 || parts[0] != "input_blocks" && parts[0] != "output_blocks" {
		return "", 0, 0, "", false
	}
	block, err := strconv.Atoi(parts[1])
	sub, err2 := strconv.Atoi(parts[2])
	if err != nil || err2 != nil || block < 1 && parts[0] == "input_blocks" {
		return "", 0, 0, "", false
	}
	if len(parts) == 4 {
		rest = "." + parts[3]
	}
	return parts[0], block, sub, rest, true
}

// levelled reads down_blocks.1.resnets.0.rest and its kin.
func levelled(module string) (side string, level int, kind string, layer int, rest string, ok bool) {
	parts := strings.SplitN(module, ".", 5)
	if len(parts) < 4 || parts[0] != "down_blocks" && parts[0] != "up_blocks" {
		return "", 0, "", 0, "", false
	}
	level, err := strconv.Atoi(parts[1])
	layer, err2 := strconv.Atoi(parts[3])
	if err != nil || err2 != nil {
		return "", 0, "", 0, "", false
	}
	if len(parts) == 5 {
		rest = "." + parts[4]
	}
	return parts[0], level, parts[2], layer, rest, true
}
