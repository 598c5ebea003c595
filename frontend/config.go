package frontend

import (
	"encoding/json"
	"time"

	"thermocline"
)

// lastModifiedFormat is how the API shows LastModified.
const lastModifiedFormat = "2006-01-02T15:04:05.000-0700"

const (
	reasonCreating     = "The function is being created."
	reasonCodeCreating = "Creating"
)

// The fields of thermocline.Function.Extra. The first are shown as the API
// names them; the others belong to the function as a whole, are kept with its
// $LATEST, and are answered by operations of their own.
const (
	extraKMSKey    = "KMSKeyArn"
	extraLogging   = "LoggingConfig"
	extraSnapStart = "SnapStart"
	extraTracing   = "TracingConfig"
	extraVPC       = "VpcConfig"

	extraPublished   = ".published"   // publication
	extraAliases     = ".aliases"     // map of alias
	extraTags        = ".tags"        // map of strings
	extraConcurrency = ".concurrency" // an int: the reserved concurrency
	extraRecursion   = ".recursion"   // "Allow" or "Terminate"
	extraRuntimeMgmt = ".runtime"     // runtimeManagement
)

// configuration is the API's FunctionConfiguration.
type configuration struct {
	FunctionName               string
	FunctionArn                string
	Runtime                    string `json:",omitempty"`
	Role                       string
	Handler                    string `json:",omitempty"`
	CodeSize                   int64
	Description                string
	Timeout                    int
	MemorySize                 int
	LastModified               string
	CodeSha256                 string
	Version                    string
	VpcConfig                  json.RawMessage `json:",omitempty"`
	Environment                *environment    `json:",omitempty"`
	KMSKeyArn                  json.RawMessage `json:",omitempty"`
	TracingConfig              json.RawMessage
	RevisionId                 string
	Layers                     []layer `json:",omitempty"`
	State                      string  `json:",omitempty"`
	StateReason                string  `json:",omitempty"`
	StateReasonCode            string  `json:",omitempty"`
	LastUpdateStatus           string  `json:",omitempty"`
	LastUpdateStatusReason     string  `json:",omitempty"`
	LastUpdateStatusReasonCode string  `json:",omitempty"`
	PackageType                string
	Architectures              []string
	EphemeralStorage           ephemeralStorage
	SnapStart                  json.RawMessage
	RuntimeVersionConfig       *runtimeVersion `json:",omitempty"`
	LoggingConfig              json.RawMessage
}

type environment struct{ Variables map[string]string }

type layer struct {
	Arn      string
	CodeSize int64
}

type ephemeralStorage struct{ Size int }

type runtimeVersion struct{ RuntimeVersionArn string }

type loggingConfig struct {
	LogFormat           string `json:",omitempty"`
	ApplicationLogLevel string `json:",omitempty"`
	SystemLogLevel      string `json:",omitempty"`
	LogGroup            string `json:",omitempty"`
}

// listed is a function as the lists show it, without its states.
func (q *request) listed(f *thermocline.Function, qualifier string) *configuration {
	c := &configuration{
		FunctionName:     f.Name,
		FunctionArn:      q.region.arn(f.Account, f.Name, qualifier),
		Runtime:          f.Runtime,
		Role:             f.Role,
		Handler:          f.Handler,
		CodeSize:         f.CodeSize,
		Description:      f.Description,
		Timeout:          int(f.Timeout / time.Second),
		MemorySize:       f.MemoryMB,
		LastModified:     f.LastModified.UTC().Format(lastModifiedFormat),
		CodeSha256:       f.CodeSHA256,
		Version:          f.Version,
		VpcConfig:        f.Extra[extraVPC],
		KMSKeyArn:        f.Extra[extraKMSKey],
		TracingConfig:    extraOr(f, extraTracing, `{"Mode":"PassThrough"}`),
		SnapStart:        extraOr(f, extraSnapStart, `{"ApplyOn":"None","OptimizationStatus":"Off"}`),
		RevisionId:       f.Revision,
		PackageType:      "Zip",
		Architectures:    []string{f.Architecture},
		EphemeralStorage: ephemeralStorage{f.TmpMB},
	}
	if f.Environment != nil {
		c.Environment = &environment{f.Environment}
	}
	for _, arn := range f.Layers {
		c.Layers = append(c.Layers, layer{Arn: arn})
	}
	if c.LoggingConfig = f.Extra[extraLogging]; c.LoggingConfig == nil {
		c.LoggingConfig, _ = json.Marshal(loggingConfig{LogFormat: "Text", LogGroup: "/aws/lambda/" + f.Name})
	}
	return c
}

func extraOr(f *thermocline.Function, field, otherwise string) json.RawMessage {
	if v := f.Extra[field]; v != nil {
		return v
	}
	return json.RawMessage(otherwise)
}

// shown is a function as all but the lists show it.
func (q *request) shown(f *thermocline.Function, qualifier string) *configuration {
	c := q.listed(f, qualifier)
	c.State = string(f.State)
	c.StateReason, c.StateReasonCode = f.StateReason, f.StateReasonCode
	c.LastUpdateStatus = string(f.LastUpdate)
	if f.LastUpdate == thermocline.UpdateInProgress {
		c.LastUpdateStatusReason, c.LastUpdateStatusReasonCode = reasonCreating, reasonCodeCreating
	}
	c.RuntimeVersionConfig = &runtimeVersion{q.region.runtimeVersionARN(f)}
	return c
}

// setExtra changes a field of Extra; nil removes it.
func setExtra(f *thermocline.Function, field string, value any) error {
	if value == nil {
		delete(f.Extra, field)
		return nil
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if f.Extra == nil {
		f.Extra = make(map[string][]byte)
	}
	f.Extra[field] = raw
	return nil
}

// getExtra decodes a field of Extra; it reports whether it is there.
func getExtra(f *thermocline.Function, field string, into any) bool {
	raw, ok := f.Extra[field]
	return ok && json.Unmarshal(raw, into) == nil
}
