package frontend

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"thermocline"
)

// supported are the runtimes that AWS takes for new functions, in the order in
// which its error message lists them.
var supported = []string{
	"nodejs20.x", "python3.14", "provided.al2023", "python3.12", "python3.13", "nodejs24.x", "nodejs22.x", "java25",
	"python3.10", "python3.11", "java21", "ruby3.3", "ruby3.4", "ruby3.2", "python3.8", "python3.9", "java17",
	"nodejs16.x", "dotnet10", "dotnet8", "java11", "dotnet6", "nodejs18.x", "provided.al2", "java8.al2",
}

// deprecated are those that AWS knows and takes no longer.
var deprecated = []string{
	"nodejs", "nodejs4.3", "nodejs4.3-edge", "nodejs6.10", "nodejs8.10", "nodejs10.x", "nodejs12.x", "nodejs14.x",
	"python2.7", "python3.6", "python3.7", "ruby2.5", "ruby2.7", "java8", "go1.x", "provided",
	"dotnetcore1.0", "dotnetcore2.0", "dotnetcore2.1", "dotnetcore3.1", "dotnet5.0", "dotnet7",
}

// checkRuntime answers as AWS for a runtime that it would not take, and names
// what is missing for one that cannot run here.
func (s *Server) checkRuntime(ctx context.Context, name string) error {
	switch {
	case slices.Contains(supported, name):
		if err := s.opts.Runtimes.Check(ctx, name); err != nil {
			return thermocline.Errorf(thermocline.KindInvalidParameter, "The runtime %s cannot run here: %s", name, err)
		}
		return nil
	case slices.Contains(deprecated, name):
		return invalid("The runtime parameter of %s is no longer supported for creating or updating AWS Lambda functions. We recommend you use a supported runtime while creating or updating functions.", name)
	}
	return invalid("Value %s at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [%s] or be a valid ARN", name, strings.Join(supported, ", "))
}

// runtimeVersionARN names the version of a runtime. There is one version of
// each here, the one that is installed, so the name is a function of the
// runtime and the architecture.
func (r region) runtimeVersionARN(f *thermocline.Function) string {
	sum := sha256.Sum256([]byte(f.Runtime + " " + f.Architecture))
	return r.prefix + ":runtime:" + hex.EncodeToString(sum[:])
}
