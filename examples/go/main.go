// Command go is a function in Go that greets whoever the event names.
package main

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"strings"

	"github.com/aws/aws-lambda-go/lambda"
)

// Event is what the function is invoked with.
type Event struct {
	Name string `json:"name"`
}

// Answer is what it returns.
type Answer struct {
	Greeting string `json:"greeting"`
}

func main() { lambda.Start(greet) }

func greet(_ context.Context, e Event) (Answer, error) {
	name := cmp.Or(e.Name, "world")
	fmt.Println("greeting", name)
	version := strings.TrimPrefix(runtime.Version(), "go")
	return Answer{Greeting: fmt.Sprintf("Hello, %s, from Go %s!", name, version)}, nil
}
