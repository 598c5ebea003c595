package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

func newConfigCmd(g *globals) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "config",
		Short: "Print the configuration that serve would use, and where each value comes from",
		Long: `Print the configuration that serve would use with the same flags, environment
and file, as YAML that --config reads. A comment says where each value comes
from. docs/configuration.md explains the keys.`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := g.loadConfig(c.Flags())
			if err != nil {
				return err
			}
			for _, w := range l.warnings() {
				fmt.Fprintf(g.env.stderr, "thermocline: warning: %s\n", w)
			}
			if asJSON {
				return l.writeJSON(g.env)
			}
			return l.writeYAML(g.env)
		},
	}
	addConfigFlags(c.Flags())
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON: values and origins")
	return c
}

// values are the configuration as the file has it: durations as text.
func (l *loaded) values() map[string]any {
	raw, err := json.Marshal(l.Config)
	if err != nil {
		return nil // a struct of plain values marshals
	}
	var values map[string]any
	if json.Unmarshal(raw, &values) != nil {
		return nil
	}
	text := func(m map[string]any, keys ...string) {
		for _, key := range keys {
			if ns, ok := m[key].(float64); ok {
				m[key] = time.Duration(ns).String()
			}
		}
	}
	text(values, "keep_alive", "freeze_after", "shutdown_deadline")
	if pool, ok := values["pool"].(map[string]any); ok {
		text(pool, "keep_alive_min", "keep_alive_max", "idle_bin")
	}
	fleets, _ := values["fleets"].([]any)
	for _, f := range fleets {
		if m, ok := f.(map[string]any); ok {
			text(m, "dwell", "keep_alive")
		}
	}
	return values
}

func (l *loaded) writeJSON(e *env) error {
	return e.printJSON(map[string]any{"values": l.values(), "origins": l.origins})
}

// writeYAML writes the keys in the order of Config, each with its origin.
func (l *loaded) writeYAML(e *env) error {
	values := l.values()
	doc := &yaml.Node{Kind: yaml.MappingNode}
	add := func(to *yaml.Node, name string, value any, origin string) error {
		v := &yaml.Node{}
		if err := v.Encode(value); err != nil {
			return err
		}
		k := &yaml.Node{Kind: yaml.ScalarNode, Value: name}
		if v.Kind == yaml.SequenceNode {
			k.LineComment = origin
		} else {
			v.LineComment = origin
		}
		to.Content = append(to.Content, k, v)
		return nil
	}
	if err := add(doc, "data", values["data"], l.origins["data"]); err != nil {
		return err
	}
	sections := make(map[string]*yaml.Node)
	for _, s := range settings() {
		to, name, from := doc, s.key, values
		if section, rest, nested := strings.Cut(s.key, "."); nested {
			name, from = rest, values[section].(map[string]any)
			if sections[section] == nil {
				sections[section] = &yaml.Node{Kind: yaml.MappingNode}
				doc.Content = append(doc.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: section}, sections[section])
			}
			to = sections[section]
		}
		if err := add(to, name, from[name], l.origins[s.key]); err != nil {
			return err
		}
	}
	fleets, err := fleetNodes(values["fleets"])
	if err != nil {
		return err
	}
	if err := add(doc, "fleets", fleets, l.origins["fleets"]); err != nil {
		return err
	}
	out := yaml.NewEncoder(e.stdout)
	out.SetIndent(2)
	if err := out.Encode(doc); err != nil {
		return err
	}
	return out.Close()
}

// fleetNodes puts the keys of each fleet into the order in which one reads
// them.
func fleetNodes(fleets any) ([]*yaml.Node, error) {
	order := []string{"name", "dispatch", "enter", "stay", "dwell"}
	list, _ := fleets.([]any)
	nodes := make([]*yaml.Node, 0, len(list))
	for _, one := range list {
		values, _ := one.(map[string]any)
		keys := slices.SortedFunc(maps.Keys(values), func(a, b string) int {
			return cmp.Or(rank(order, a)-rank(order, b), strings.Compare(a, b))
		})
		node := &yaml.Node{Kind: yaml.MappingNode}
		for _, key := range keys {
			value := &yaml.Node{}
			if err := value.Encode(values[key]); err != nil {
				return nil, err
			}
			node.Content = append(node.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, value)
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}

// rank is the place of a key, the last for one that order does not name.
func rank(order []string, key string) int {
	if i := slices.Index(order, key); i >= 0 {
		return i
	}
	return len(order)
}
