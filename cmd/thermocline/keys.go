package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"thermocline/client"
)

// The scopes of keys.
const (
	scopeAdmin  = "admin"
	scopeInvoke = "invoke"
)

// maxSecret bounds what is read of a secret, in bytes.
const maxSecret = 1024

func newKeysCmd(g *globals) *cobra.Command {
	c := group(&cobra.Command{
		Use:   "keys",
		Short: "List, create, revoke and import access keys",
		Long: `List, create, revoke and import access keys. A key of the scope admin may do
everything in its account, one of the scope invoke may invoke functions and
nothing else. Keys are those of the account that the command's own key belongs
to; the operator's may name another with --account.`,
	})
	c.AddCommand(newKeysListCmd(g), newKeysCreateCmd(g), newKeysRevokeCmd(g), newKeysImportCmd(g))
	return c
}

func accountFlag(c *cobra.Command, account *string) {
	c.Flags().StringVar(account, "account", client.Self, "`ID` of the account")
}

func newKeysListCmd(g *globals) *cobra.Command {
	var asJSON bool
	var account string
	c := &cobra.Command{
		Use:   "list",
		Short: "List the keys of an account, without their secrets",
		Args:  exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return g.withOwn(c.Context(), func(_ server, own *client.Client) error {
				keys, err := own.Keys(c.Context(), account)
				if err != nil {
					return err
				}
				if asJSON {
					return g.env.printJSON(keys)
				}
				var rows [][]string
				for _, k := range keys {
					state := "active"
					if k.Revoked {
						state = "revoked"
					}
					rows = append(rows, []string{k.ID, k.Account, k.Scope, state, g.env.ago(k.Created)})
				}
				return g.env.table("KEY ACCOUNT SCOPE STATE CREATED", rows)
			})
		},
	}
	accountFlag(c, &account)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func newKeysCreateCmd(g *globals) *cobra.Command {
	var asJSON, export bool
	var account, scope string
	c := &cobra.Command{
		Use:   "create",
		Short: "Create a key and show its secret, this once",
		Long: `Create a key and show its secret, this once.

  thermocline keys create --scope invoke
  eval "$(thermocline keys create --scope invoke --export)"`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkScope(scope); err != nil {
				return err
			}
			return g.withOwn(c.Context(), func(s server, own *client.Client) error {
				k, err := own.CreateKey(c.Context(), account, scope)
				switch {
				case err != nil:
					return err
				case asJSON:
					return g.env.printJSON(k)
				case export:
					s.Credentials.AccessKeyID, s.Credentials.SecretAccessKey = k.ID, k.Secret
					return g.env.printExports(s.Credentials)
				}
				return g.env.printNewKey(k)
			})
		},
	}
	accountFlag(c, &account)
	c.Flags().StringVar(&scope, "scope", scopeAdmin, "admin or invoke")
	c.Flags().BoolVar(&export, "export", false, "print the environment that uses the key, as env does")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func checkScope(scope string) error {
	if scope != scopeAdmin && scope != scopeInvoke {
		return fail(exitUsage, "write --scope admin or --scope invoke", "there is no scope %q", scope)
	}
	return nil
}

// printNewKey shows a key with its secret.
func (e *env) printNewKey(k client.Key) error {
	_, err := fmt.Fprintf(e.stdout, "created a key of the account %s with the scope %s\n  access key id:     %s\n  secret access key: %s\nThe secret is not shown again.\n",
		k.Account, k.Scope, k.ID, k.Secret)
	return err
}

func newKeysRevokeCmd(g *globals) *cobra.Command {
	var asJSON bool
	var account string
	c := &cobra.Command{
		Use:   "revoke KEY",
		Short: "Make a key worthless, at once and for good",
		Long: `Make a key worthless, at once and for good. Invocations that it has begun finish.

  thermocline keys revoke AKIAEXAMPLE`,
		Args: exactly("KEY"),
		RunE: func(c *cobra.Command, args []string) error {
			return g.withOwn(c.Context(), func(s server, own *client.Client) error {
				k, err := own.RevokeKey(c.Context(), account, args[0])
				if err != nil {
					return err
				}
				if k.ID == s.AccessKeyID {
					fmt.Fprintln(g.env.stderr, "thermocline: warning: that was the key of this command itself: restart the server to have a new one in its data directory, or set another")
				}
				if asJSON {
					return g.env.printJSON(k)
				}
				_, err = fmt.Fprintf(g.env.stdout, "revoked %s of the account %s\n", k.ID, k.Account)
				return err
			})
		},
	}
	accountFlag(c, &account)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func newKeysImportCmd(g *globals) *cobra.Command {
	var asJSON bool
	var account, scope, file, variable string
	c := &cobra.Command{
		Use:   "import KEY",
		Short: "Take over a key pair that exists elsewhere, for test rigs",
		Long: `Take over a key pair that exists elsewhere, for test rigs whose credentials are
given. The secret comes from standard input, or from where a flag says; it is
never shown. Only the operator may import.

  thermocline keys import test --secret-file secret.txt
  printf %s "$SECRET" | thermocline keys import AKIAEXAMPLE --scope invoke`,
		Args: exactly("KEY"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkScope(scope); err != nil {
				return err
			}
			secret, err := g.env.secret(file, variable)
			if err != nil {
				return err
			}
			return g.withOwn(c.Context(), func(_ server, own *client.Client) error {
				k, err := own.ImportKey(c.Context(), account, scope, args[0], secret)
				if err != nil {
					return err
				}
				if asJSON {
					return g.env.printJSON(k)
				}
				_, err = fmt.Fprintf(g.env.stdout, "imported %s into the account %s with the scope %s\n", k.ID, k.Account, k.Scope)
				return err
			})
		},
	}
	accountFlag(c, &account)
	f := c.Flags()
	f.StringVar(&scope, "scope", scopeAdmin, "admin or invoke")
	f.StringVar(&file, "secret-file", "-", "`FILE` with the secret; - is standard input")
	f.StringVar(&variable, "secret-env", "", "`NAME` of the environment variable with the secret")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// secret reads a secret from a variable, a file or standard input.
func (e *env) secret(file, variable string) (string, error) {
	const hint = "give it on standard input, or with --secret-file or --secret-env"
	if variable != "" {
		if s := e.lookup(variable); s != "" {
			return s, nil
		}
		return "", fail(exitUsage, hint, "the variable %s is not set", variable)
	}
	from := e.stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", fail(exitUsage, hint, "read the secret: %w", err)
		}
		defer f.Close()
		from = f
	}
	if f, ok := from.(*os.File); ok {
		if restore := hideTyping(f); restore != nil {
			fmt.Fprint(e.stderr, "secret access key: ")
			defer fmt.Fprintln(e.stderr)
			// Who gives up gets the terminal back as it was.
			defer context.AfterFunc(e.ctx, restore)()
			defer restore()
			return firstLine(from, hint)
		}
	}
	raw, err := io.ReadAll(io.LimitReader(from, maxSecret+1))
	if err != nil {
		return "", fail(exitUsage, hint, "read the secret: %w", err)
	}
	s := strings.TrimRight(string(raw), "\r\n")
	if s == "" || len(s) > maxSecret {
		return "", fail(exitUsage, hint, "there is no secret of at most %d bytes", maxSecret)
	}
	return s, nil
}

// firstLine reads what somebody types, byte by byte: what follows is not ours.
func firstLine(from io.Reader, hint string) (string, error) {
	var line []byte
	for b := make([]byte, 1); len(line) <= maxSecret; {
		n, err := from.Read(b)
		if n == 1 && b[0] != '\n' {
			line = append(line, b[0])
			continue
		}
		if n == 1 || err != nil {
			break
		}
	}
	if len(line) == 0 || len(line) > maxSecret {
		return "", fail(exitUsage, hint, "no secret was typed")
	}
	return string(line), nil
}

// hideTyping has a terminal show nothing of what is typed; nil when f is none.
func hideTyping(f *os.File) (restore func()) {
	before, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return nil
	}
	silent := *before
	silent.Lflag &^= unix.ECHO
	if unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, &silent) != nil {
		return nil
	}
	return func() { _ = unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, before) }
}
