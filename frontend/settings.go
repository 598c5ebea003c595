package frontend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"thermocline"
)

// check adds the constraints that the settings violate.
func (in *settings) check(p *problems) {
	if in.Description != nil {
		p.length("description", *in.Description, 0, 256)
	}
	if in.Handler != nil {
		p.length("handler", *in.Handler, 0, 128)
		p.pattern("handler", *in.Handler, handlerRE, handlerPattern)
	}
	if in.Role != nil {
		p.pattern("role", *in.Role, roleRE, rolePattern)
	}
	if in.MemorySize != nil {
		p.between("memorySize", *in.MemorySize, 128, 10_240)
	}
	if in.Timeout != nil {
		p.between("timeout", *in.Timeout, 1, 900)
	}
	if e := in.EphemeralStorage; e != nil {
		if e.Size == nil {
			p.null("ephemeralStorage.size")
		} else {
			p.between("ephemeralStorage.size", *e.Size, 512, 10_240)
		}
	}
	if in.Environment != nil && in.Environment.Variables != nil {
		in.Environment.Variables.check(p)
	}
	if in.KMSKeyArn != nil {
		p.pattern("kMSKeyArn", *in.KMSKeyArn, keyRE, keyPattern)
	}
	if in.TracingConfig != nil {
		p.oneOf("tracingConfig.mode", in.TracingConfig.Mode, "Active", "PassThrough")
	}
	if in.SnapStart != nil {
		p.oneOf("snapStart.applyOn", in.SnapStart.ApplyOn, "PublishedVersions", "None")
	}
	if in.LoggingConfig != nil {
		in.LoggingConfig.check(p)
	}
	if in.VpcConfig != nil {
		p.each("vpcConfig.subnetIds", in.VpcConfig.SubnetIds, subnetRE, subnetPattern)
		p.each("vpcConfig.securityGroupIds", in.VpcConfig.SecurityGroupIds, securityRE, securityPattern)
	}
}

// each checks the members of a list of ids.
func (p *problems) each(field string, list []string, re *regexp.Regexp, pattern string) {
	for _, id := range list {
		if len(id) > 1024 || !re.MatchString(id) {
			p.add(field, listText(list), "Member must satisfy constraint: [Member must have length less than or equal to 1024, Member must have length greater than or equal to 0, "+patternConstraint(pattern)+"]")
			return
		}
	}
}

func (l *loggingConfig) check(p *problems) {
	if l.LogFormat != "" {
		p.oneOf("loggingConfig.logFormat", l.LogFormat, "JSON", "Text")
	}
	if l.ApplicationLogLevel != "" {
		p.oneOf("loggingConfig.applicationLogLevel", l.ApplicationLogLevel, "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
	}
	if l.SystemLogLevel != "" {
		p.oneOf("loggingConfig.systemLogLevel", l.SystemLogLevel, "DEBUG", "INFO", "WARN")
	}
	if l.LogGroup != "" {
		p.length("loggingConfig.logGroup", l.LogGroup, 1, 512)
		p.pattern("loggingConfig.logGroup", l.LogGroup, groupRE, groupPattern)
	}
}

// checkSettings refuses values that are well formed and cannot be had.
func (s *Server) checkSettings(ctx context.Context, in *settings) error {
	switch {
	case in.DeadLetterConfig != nil && in.DeadLetterConfig.TargetArn != "":
		return errNotHere("DeadLetterConfig")
	case len(in.FileSystemConfigs) > 0:
		return errNotHere("FileSystemConfigs")
	case given(in.ImageConfig):
		return errNotHere("ImageConfig")
	case given(in.CapacityProviderConfig):
		return errNotHere("CapacityProviderConfig")
	case given(in.DurableConfig):
		return errNotHere("DurableConfig")
	case len(in.Layers) > 0:
		return invalid("Layer version %s does not exist.", in.Layers[0])
	}
	if in.Runtime != nil {
		if err := s.checkRuntime(ctx, *in.Runtime); err != nil {
			return err
		}
	}
	if in.Environment != nil && in.Environment.Variables != nil {
		return in.Environment.Variables.checkContent()
	}
	return nil
}

// apply changes f to what was given.
func (in *settings) apply(f *thermocline.Function) error {
	set(&f.Description, in.Description)
	set(&f.Runtime, in.Runtime)
	set(&f.Handler, in.Handler)
	set(&f.Role, in.Role)
	set(&f.MemoryMB, in.MemorySize)
	if in.Timeout != nil {
		f.Timeout = time.Duration(*in.Timeout) * time.Second
	}
	if in.EphemeralStorage != nil {
		set(&f.TmpMB, in.EphemeralStorage.Size)
	}
	if in.Environment != nil {
		f.Environment = map[string]string{}
		if in.Environment.Variables != nil {
			f.Environment = maps.Clone(in.Environment.Variables.values)
		}
	}
	return errors.Join(in.applyTracing(f), in.applyLogging(f), in.applySnapStart(f), in.applyVPC(f), in.applyKey(f))
}

func set[T any](to *T, value *T) {
	if value != nil {
		*to = *value
	}
}

func (in *settings) applyTracing(f *thermocline.Function) error {
	if in.TracingConfig == nil {
		return nil
	}
	return setExtra(f, extraTracing, in.TracingConfig)
}

func (in *settings) applyKey(f *thermocline.Function) error {
	switch {
	case in.KMSKeyArn == nil:
		return nil
	case *in.KMSKeyArn == "":
		return setExtra(f, extraKMSKey, nil)
	}
	return setExtra(f, extraKMSKey, *in.KMSKeyArn)
}

func (in *settings) applySnapStart(f *thermocline.Function) error {
	if in.SnapStart == nil {
		return nil
	}
	return setExtra(f, extraSnapStart, struct{ ApplyOn, OptimizationStatus string }{in.SnapStart.ApplyOn, "Off"})
}

// applyLogging changes only what was given of the logging configuration. The
// levels exist in the JSON format alone, where they have defaults.
func (in *settings) applyLogging(f *thermocline.Function) error {
	if in.LoggingConfig == nil {
		return nil
	}
	l := loggingConfig{LogFormat: "Text", LogGroup: "/aws/lambda/" + f.Name}
	getExtra(f, extraLogging, &l)
	for _, member := range []struct{ to, value *string }{
		{&l.LogFormat, &in.LoggingConfig.LogFormat},
		{&l.LogGroup, &in.LoggingConfig.LogGroup},
		{&l.ApplicationLogLevel, &in.LoggingConfig.ApplicationLogLevel},
		{&l.SystemLogLevel, &in.LoggingConfig.SystemLogLevel},
	} {
		if *member.value != "" {
			*member.to = *member.value
		}
	}
	if l.LogFormat != "JSON" {
		if in.LoggingConfig.ApplicationLogLevel != "" || in.LoggingConfig.SystemLogLevel != "" {
			return invalid("ApplicationLogLevel and SystemLogLevel are only supported with LogFormat JSON.")
		}
		l.ApplicationLogLevel, l.SystemLogLevel = "", ""
	} else {
		if l.ApplicationLogLevel == "" {
			l.ApplicationLogLevel = "INFO"
		}
		if l.SystemLogLevel == "" {
			l.SystemLogLevel = "INFO"
		}
	}
	return setExtra(f, extraLogging, l)
}

// applyVPC keeps the configuration and shows it; there is no VPC here.
func (in *settings) applyVPC(f *thermocline.Function) error {
	v := in.VpcConfig
	if v == nil || len(v.SubnetIds) == 0 && len(v.SecurityGroupIds) == 0 && f.Extra[extraVPC] == nil {
		return nil
	}
	shown := struct {
		SubnetIds, SecurityGroupIds []string
		VpcId                       string
		Ipv6AllowedForDualStack     bool
	}{[]string{}, []string{}, "", v.Ipv6AllowedForDualStack}
	if len(v.SubnetIds) > 0 {
		shown.SubnetIds, shown.SecurityGroupIds, shown.VpcId = v.SubnetIds, v.SecurityGroupIds, "vpc-0"
	}
	return setExtra(f, extraVPC, shown)
}

// variables is an environment that remembers the order of its members, in
// which AWS's messages repeat it.
type variables struct {
	names  []string
	values map[string]string
}

// UnmarshalJSON reads an object of strings.
func (v *variables) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, &v.values); err != nil || v.values == nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	for {
		token, err := d.Token()
		if err != nil {
			return nil // the end: data is valid
		}
		// Of the tokens of an object of strings every other one is a name.
		if name, ok := token.(string); ok {
			v.names = append(v.names, name)
			if _, err := d.Token(); err != nil {
				return nil
			}
		}
	}
}

func (v *variables) check(p *problems) {
	for _, name := range v.names {
		if !varRE.MatchString(name) {
			p.add("environment.variables", v.text(), "Map keys must satisfy constraint: [Member must satisfy regular expression pattern: "+varPattern+"]")
			return
		}
	}
}

// text is how AWS prints a map.
func (v *variables) text() string {
	var b strings.Builder
	for i, name := range v.names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(name + "=" + v.values[name])
	}
	return "{" + b.String() + "}"
}

// reserved are the variables that the runtime's environment has of its own.
var reserved = []string{
	"_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_NAME",
	"AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE",
	"AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID",
	"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
}

// checkContent refuses reserved names and what is over 4 KB as JSON.
func (v *variables) checkContent() error {
	var taken []string
	for _, name := range v.names {
		if slices.Contains(reserved, name) {
			taken = append(taken, name)
		}
	}
	if len(taken) > 0 {
		return invalid("Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: %s", strings.Join(taken, ", "))
	}
	if measured := v.json(); len(measured) > maxEnvironment {
		return invalid("Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit. String measured: %s", measured)
	}
	return nil
}

// json is the environment as compact JSON in the caller's order.
func (v *variables) json() string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	b.WriteByte('{')
	for i, name := range v.names {
		if i > 0 {
			b.WriteByte(',')
		}
		_ = e.Encode(name) // a string always encodes
		b.Truncate(b.Len() - 1)
		b.WriteByte(':')
		_ = e.Encode(v.values[name])
		b.Truncate(b.Len() - 1)
	}
	b.WriteByte('}')
	return b.String()
}
