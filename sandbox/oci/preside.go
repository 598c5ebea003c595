package oci

import (
	"fmt"
	"os"
	"strings"
	"time"

	"thermocline/sandbox"
)

// presideScript is initScript for a sandbox of a provided runtime that waits for
// its program: all is there, the container too, but the program. What to do
// comes over standard input, up to its end, and is run in a shell of its own.
// When nothing comes there is nothing to do.
const presideScript = `exec 9>&2 2>/dev/null; (eval "$(exec /bin/cat)"); exit $?`

// orderTimeout bounds how long the shell may take to read what to do.
const orderTimeout = 5 * time.Second

// canPreside reports whether the root has what presideScript and orders need.
func (r *Runtime) canPreside() bool {
	for _, name := range []string{shell, "/bin/cat", "/usr/bin/env"} {
		if _, err := os.Stat(name); err != nil {
			return false
		}
	}
	return true
}

// order has the waiting shell become the function's program, with the
// function's environment and nothing else. A package without a program ends the
// process; Invoke says so.
func (b *box) order(binding sandbox.Binding) error {
	defer b.closeOrders()
	program := findEntrypoint(&binding)
	if program == "" {
		return b.discard()
	}
	b.began = time.Now()
	b.api.Booting()
	if err := b.orders.SetWriteDeadline(time.Now().Add(orderTimeout)); err != nil {
		return err
	}
	if _, err := b.orders.WriteString(orderScript(program, list(environment(b.spec.Runtime, binding)))); err != nil {
		return fmt.Errorf("tell the waiting shell its program: %w", err)
	}
	return nil
}

// orderScript starts the program as its container would. The code was mounted
// over the working directory after the shell began: it has to go there anew.
func orderScript(program string, env []string) string {
	var s strings.Builder
	s.WriteString("cd " + taskDir + "; exec /usr/bin/env -i")
	for _, v := range env {
		s.WriteByte(' ')
		s.WriteString(quote(v))
	}
	s.WriteString(" " + quote(program) + " </dev/null 2>&9 9>&-")
	return s.String()
}

// quote makes text one word of a shell's.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

func (b *box) closeOrders() {
	if b.orders != nil {
		b.orders.Close() // nothing is buffered in it
		b.orders = nil
	}
}
