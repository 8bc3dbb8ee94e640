package peft

import "lorafs/lazymerge/transform"

// trainableTokens reads peft_type TRAINABLE_TOKENS: rows of embeddings, as the option
// trainable_token_indices of LORA has them.
var trainableTokens = method{
	prefix: "trainable_tokens_",
	usual:  []string{"init_weights", "target_modules"},
	fields: []fieldRule{{name: "token_indices", use: used}},
	read: func(v *values) maker {
		s := trainableTokensSettings{}
		if raw := v.field("token_indices"); raw != nil {
			s.indices = v.indices("token_indices", raw)
		}
		return s
	},
}

type trainableTokensSettings struct{ indices []int64 }

// settle: every module has the same indices.
func (s trainableTokensSettings) settle(c *Config) {
	c.TokenIndices = []TokenIndices{{Indices: s.indices}}
}

// edits has nothing to do: addTokens makes them.
func (trainableTokensSettings) edits(*parser, *layer) ([]transform.Edit, error) { return nil, nil }
