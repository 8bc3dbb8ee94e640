package lazymerge

import "testing"

func TestConfigEdits(t *testing.T) {
	for _, c := range []struct {
		name     string
		edits    configEdits
		in, want string
	}{
		{
			"untied", configEdits{untied: true},
			`{"b":1,"tie_word_embeddings":true,"a":1.50}`,
			"{\n  \"b\": 1,\n  \"tie_word_embeddings\": false,\n  \"a\": 1.50\n}\n",
		},
		{
			"untied in a nested config that says it too", configEdits{untied: true},
			`{"text_config":{"tie_word_embeddings":true}}`,
			"{\n  \"text_config\": {\n    \"tie_word_embeddings\": false\n  },\n  \"tie_word_embeddings\": false\n}\n",
		},
		{
			"vocabulary", configEdits{vocab: [2]int64{32, 40}},
			`{"vocab_size":32}`, "{\n  \"vocab_size\": 40\n}\n",
		},
		{
			"nested vocabulary", configEdits{vocab: [2]int64{32, 40}},
			`{"vocab_size":7,"text_config":{"vocab_size":32}}`,
			"{\n  \"vocab_size\": 7,\n  \"text_config\": {\n    \"vocab_size\": 40\n  }\n}\n",
		},
		{
			"layers", configEdits{layers: layerMap{0, 1, 1}},
			`{"num_hidden_layers":2,"layer_types":["full","sliding"]}`,
			"{\n  \"num_hidden_layers\": 3,\n  \"layer_types\": [\n    \"full\",\n    \"sliding\",\n    \"sliding\"\n  ]\n}\n",
		},
		{
			"task class", configEdits{class: "XForSequenceClassification", labels: 2},
			`{"architectures":["X"],"id2label":{"0":"no","1":"yes"}}`,
			"{\n  \"architectures\": [\n    \"XForSequenceClassification\"\n  ],\n  \"id2label\": {\n    \"0\": \"no\",\n    \"1\": \"yes\"\n  }\n}\n",
		},
	} {
		got, err := c.edits.apply([]byte(c.in))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}
