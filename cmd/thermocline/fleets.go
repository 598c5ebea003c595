package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"thermocline/client"
)

func newFleetsCmd(g *globals) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "fleets",
		Short: "Show the fleets with their managers, instances, sandboxes, rates and queues",
		Long: `Show the fleets with their managers, instances, sandboxes, rates and queues. A
key of another account than the operator's sees its own functions only.`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := g.server()
			if err != nil {
				return err
			}
			own, err := s.own()
			if err != nil {
				return err
			}
			defer own.Close()
			fleets, err := own.Fleets(c.Context())
			if err != nil {
				return s.explain(c.Context(), err)
			}
			if asJSON {
				return g.env.printJSON(fleets)
			}
			return g.env.printFleets(fleets)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (e *env) printFleets(fleets []client.Fleet) error {
	for i, f := range fleets {
		if i > 0 && f.Queued != nil {
			fmt.Fprintln(e.stdout)
		}
		fmt.Fprintf(e.stdout, "%s (%s): %d functions, %s requests/s", f.Name, f.Dispatch, f.Functions, number(f.Rate))
		if f.Queued == nil { // what is not the operator's does not see the insides
			fmt.Fprintln(e.stdout)
			continue
		}
		fmt.Fprintf(e.stdout, ", %d queued\n", *f.Queued)
		var rows [][]string
		for _, m := range f.Managers {
			memory, used := 0, 0
			for _, instance := range m.Instances {
				memory += instance.MemoryMB
				used += instance.UsedMB
			}
			state := "serving"
			if m.Draining {
				state = "draining"
			}
			s := m.Sandboxes
			rows = append(rows, []string{m.ID, state, strconv.Itoa(len(m.Instances)), fmt.Sprintf("%d/%d MB", used, memory),
				strconv.Itoa(s.Starting), strconv.Itoa(s.Warming), strconv.Itoa(s.Idle), strconv.Itoa(s.Busy), strconv.Itoa(s.Draining),
				strconv.Itoa(m.Outstanding), strconv.Itoa(m.Queued), strconv.Itoa(len(m.Partitions))})
		}
		if err := e.table("MANAGER STATE INSTANCES MEMORY STARTING WARMING IDLE BUSY ENDING OUTSTANDING QUEUED PARTITIONS", rows); err != nil {
			return err
		}
	}
	return nil
}
