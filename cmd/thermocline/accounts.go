package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"thermocline"
	"thermocline/client"
)

func newAccountsCmd(g *globals) *cobra.Command {
	c := group(&cobra.Command{
		Use:   "accounts",
		Short: "List, create, change and delete accounts",
		Long: `List, create, change and delete accounts. An account has functions and keys of
its own, and a limit of executions at once; other accounts see nothing of it.
Only admin keys of the operator's account, the one that the first start made,
may change accounts.`,
	})
	c.AddCommand(newAccountsListCmd(g), newAccountsCreateCmd(g), newAccountsSetCmd(g), newAccountsRemoveCmd(g))
	return c
}

// withOwn calls do with a client of the server's own API.
func (g *globals) withOwn(ctx context.Context, do func(s server, own *client.Client) error) error {
	s, err := g.server()
	if err != nil {
		return err
	}
	own, err := s.own()
	if err != nil {
		return err
	}
	defer own.Close()
	return s.explain(ctx, asOfAccounts(do(s, own)))
}

// asOfAccounts gives errors about accounts and keys their own hints: the usual
// ones are about functions.
func asOfAccounts(err error) error {
	var known *exitError
	if err == nil || errors.As(err, &known) {
		return err
	}
	var platform *thermocline.Error
	if !errors.As(err, &platform) {
		return err
	}
	switch platform.Kind {
	case thermocline.KindNotFound:
		return fail(exitNotFound, "`thermocline accounts list` shows the accounts, `thermocline keys list` the keys", "%w", err)
	case thermocline.KindAccessDenied:
		return fail(exitFailed, "use an admin key of the account; accounts and imported keys need one of the operator's (`thermocline env --data DIR` of the server prints it)", "%w", err)
	}
	return err
}

func newAccountsListCmd(g *globals) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the accounts: all with the operator's key, else the key's own",
		Args:  exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return g.withOwn(c.Context(), func(_ server, own *client.Client) error {
				accounts, err := own.Accounts(c.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return g.env.printJSON(accounts)
				}
				var rows [][]string
				for _, a := range accounts {
					role := "tenant"
					switch {
					case a.Closing != "":
						role = "being deleted"
					case a.Operator:
						role = "operator"
					}
					rows = append(rows, []string{a.ID, a.Name, role, strconv.Itoa(a.Concurrency), strconv.Itoa(a.Functions), g.env.ago(a.Created)})
				}
				return g.env.table("ACCOUNT NAME ROLE CONCURRENCY FUNCTIONS CREATED", rows)
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func newAccountsCreateCmd(g *globals) *cobra.Command {
	var asJSON, noKey bool
	var id string
	var concurrency int
	c := &cobra.Command{
		Use:   "create NAME",
		Short: "Create an account, and an admin key for it",
		Long: `Create an account, and an admin key for it, whose secret is shown this once.

  thermocline accounts create team-blue --concurrency 200`,
		Args: exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			change := client.AccountChange{ID: id, Name: &args[0]}
			if c.Flags().Changed("concurrency") {
				change.Concurrency = &concurrency
			}
			return g.withOwn(c.Context(), func(s server, own *client.Client) error {
				a, err := own.CreateAccount(c.Context(), change)
				if err != nil {
					return err
				}
				out := struct {
					Account client.Account `json:"account"`
					Key     *client.Key    `json:"key,omitempty"`
				}{Account: a}
				if !noKey {
					k, err := own.CreateKey(c.Context(), a.ID, scopeAdmin)
					if err != nil {
						return fail(exitFailed, "make one with `thermocline keys create --account "+a.ID+"`", "the account %s was created without a key: %w", a.ID, err)
					}
					out.Key = &k
				}
				if asJSON {
					return g.env.printJSON(out)
				}
				fmt.Fprintf(g.env.stdout, "created the account %s (%s), at most %d executions at once\n", a.ID, printable(a.Name), a.Concurrency)
				if out.Key == nil {
					_, err = fmt.Fprintf(g.env.stdout, "next: thermocline keys create --account %s\n", a.ID)
					return err
				}
				return g.env.printNewKey(*out.Key)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&id, "id", "", "twelve `digits`; drawn when not given")
	f.IntVar(&concurrency, "concurrency", 0, "executions at once; 0 is the server's default")
	f.BoolVar(&noKey, "no-key", false, "make no key")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func newAccountsSetCmd(g *globals) *cobra.Command {
	var asJSON bool
	var name string
	var concurrency int
	c := &cobra.Command{
		Use:   "set ID",
		Short: "Change an account's name or its limit of executions at once",
		Long: `Change an account's name or its limit of executions at once.

  thermocline accounts set 123456789012 --concurrency 50`,
		Args: exactly("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			var change client.AccountChange
			if c.Flags().Changed("name") {
				change.Name = &name
			}
			if c.Flags().Changed("concurrency") {
				change.Concurrency = &concurrency
			}
			if change == (client.AccountChange{}) {
				return fail(exitUsage, "give --name or --concurrency", "nothing to change")
			}
			return g.withOwn(c.Context(), func(_ server, own *client.Client) error {
				a, err := own.UpdateAccount(c.Context(), args[0], change)
				if err != nil {
					return err
				}
				if asJSON {
					return g.env.printJSON(a)
				}
				_, err = fmt.Fprintf(g.env.stdout, "account %s (%s), at most %d executions at once\n", a.ID, printable(a.Name), a.Concurrency)
				return err
			})
		},
	}
	f := c.Flags()
	f.StringVar(&name, "name", "", "`NAME` of the account")
	f.IntVar(&concurrency, "concurrency", 0, "executions at once; 0 is the server's default")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func newAccountsRemoveCmd(g *globals) *cobra.Command {
	var yes, withFunctions bool
	c := &cobra.Command{
		Use:     "rm ID",
		Aliases: []string{"delete"},
		Short:   "Delete an account with its keys and, only if told to, its functions",
		Long: `Delete an account with its keys. One that has functions is kept, unless
--with-functions says that they go too, with their logs. Events of theirs that
are queued are thrown away when their turn comes.

  thermocline accounts rm 123456789012 --with-functions --yes`,
		Args: exactly("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			return g.withOwn(c.Context(), func(_ server, own *client.Client) error {
				a, err := own.Account(c.Context(), args[0])
				if err != nil {
					return err
				}
				if !yes {
					return fail(exitUsage, "add --yes to do it", "this would delete the account %s (%s), which has %d functions, and all its keys", a.ID, printable(a.Name), a.Functions)
				}
				if a.Functions > 0 && !withFunctions {
					return fail(exitFailed, "delete them first, or add --with-functions", "the account %s (%s) has %d functions", a.ID, printable(a.Name), a.Functions)
				}
				if err := own.DeleteAccount(c.Context(), a.ID, withFunctions); err != nil {
					return err
				}
				_, err = fmt.Fprintf(g.env.stdout, "deleted the account %s\n", a.ID)
				return err
			})
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do it without asking")
	c.Flags().BoolVar(&withFunctions, "with-functions", false, "delete its functions too")
	return c
}
